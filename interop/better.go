package main

import (
	"fmt"

	store "github.com/runatlantis/atlantis/server/core/redis"
	"github.com/runatlantis/atlantis/server/events/models"
)

// betterChecks are the differences that are meant, as far as they can be shown every time; race.go has those that take
// luck. The numbers are those of crates/enhanced-locking-compat/tests/legacy/defects.rs, where each defect is shown gone
// without Atlantis; docs/02-compatibility.md says for users what is better. B2, List on a cluster, needs a cluster of real
// Redis servers to be seen: here the port only shows that it lists everything to an Atlantis in cluster mode, too.
var betterChecks = []check{
	{name: "B1 start: an old key with a nested path", run: nestedOldKey, better: &better{
		redis: []string{
			"start: ",
			"TryLock for 77: true",
			"holds it now: nobody",
			"List: acme/infra/parent/child#42",
		},
		port: []string{
			"start: ",
			"TryLock for 77: false",
			"holds it now: nobody",
			"List: none",
		},
		redisWord: "77 gets and loses it", portWord: "77 is refused",
	}},
	{name: "B3 UnlockByPull of acme/infra", run: namesake, better: &better{
		redis: []string{
			"UnlockByPull: acme/infra/p#42 acme/infra2/p#42",
			"List: none",
		},
		port: []string{
			"UnlockByPull: acme/infra/p#42",
			"List: acme/infra2/p#42",
		},
		redisWord: "infra2 loses its own", portWord: "infra2 keeps its own",
	}},
	{name: "B4 Unlock, retaken by 77 on another machine", run: retakenElsewhere, possible: isElsewherePossible, better: &better{
		redis: []string{
			"TryLock for 42: true",
			"UnlockIfOwnedByPull 42: acme/infra/p#42",
			"TryLock for 77: true",
			"Unlock: acme/infra/p#42",
			"List: none",
		},
		port: []string{
			"TryLock for 42: true",
			"UnlockIfOwnedByPull 42: acme/infra/p#42",
			"TryLock for 77: true",
			"Unlock: acme/infra/p#42",
			"List: acme/infra/p#77",
		},
		redisWord: "77 loses it", portWord: "77 keeps it",
	}},
	{name: "B8 List, and a pull status of prod-git…", run: phantom, better: &better{
		redis: []string{
			"UpdatePullWithResults: ",
			"List: /#42",
		},
		port: []string{
			"UpdatePullWithResults: ",
			"List: none",
		},
		redisWord: "a lock of nothing", portWord: "no lock",
	}},
}

// nestedOldKey: Atlantis takes a lock of v0.39 whose path has two parts for one of today and leaves it where it is.
// The project is free for others, and when the first pull request is closed, theirs is the lock that goes.
func nestedOldKey(s *server, t *transcript) {
	if err := s.put("pr/acme/infra/parent/child/default", asJSON(lockOf(repo, "parent/child", "", 42))); err != nil {
		t.say("a lock of v0.39", "", err)
	}
	restart(s, t)
	rival := lockOf(repo, "parent/child", "", 77)
	acquired, _, err := s.first.TryLock(rival)
	t.say("TryLock for 77", fmt.Sprint(acquired), err)
	// Whether it reports an error depends on the order in which Redis lists the two keys. The lock is gone either way.
	_, _ = s.first.UnlockByPull(repo, 42)
	holder, err := s.first.GetLock(rival.Project, workspace)
	who := "nobody"
	if holder != nil {
		who = fmt.Sprint(holder.Pull.Num)
	}
	t.say("holds it now", who, err)
	sayList(s, t)
}

// namesake: Atlantis looks for the keys that begin with the name of the repository.
func namesake(s *server, t *transcript) {
	for _, one := range []string{repo, "acme/infra2"} {
		if acquired, _, err := s.first.TryLock(lockOf(one, "p", "", 42)); err != nil || !acquired {
			t.say("TryLock", fmt.Sprint(acquired), err)
		}
	}
	released, err := s.first.UnlockByPull(repo, 42)
	t.say("UnlockByPull", names(released), err)
	sayList(s, t)
}

// retakenElsewhere: Unlock reads and then deletes, and in between pull request 42 lets go of its lock, and 77 takes it, on
// another machine.
func retakenElsewhere(s *server, t *transcript) { retaken(s, t, s.elsewhere) }

// retakenHere is the same through an Atlantis on the same machine. The port remembers by the address who was seen last,
// because Atlantis sends each command through another connection: it takes both for one, and answers as Redis.
func retakenHere(s *server, t *transcript) { retaken(s, t, s.atlantis) }

func retaken(s *server, t *transcript, other func() (*store.RedisDB, error)) {
	lock := lockOf(repo, "p", "", 42)
	rival, err := other()
	if err != nil {
		t.say("start of the other", "", err)
		return
	}
	defer rival.Close()
	db, err := s.interrupted(func() {
		released, err := rival.UnlockIfOwnedByPull(lock.Project, workspace, 42)
		t.say("UnlockIfOwnedByPull 42", names(some(released)), err)
		acquired, _, err := rival.TryLock(lockOf(repo, "p", "", 77))
		t.say("TryLock for 77", fmt.Sprint(acquired), err)
	})
	if err != nil {
		t.say("start", "", err)
		return
	}
	defer db.Close()
	acquired, _, err := db.TryLock(lock)
	t.say("TryLock for 42", fmt.Sprint(acquired), err)
	released, err := db.Unlock(lock.Project, workspace)
	t.say("Unlock", names(some(released)), err)
	sayList(s, t)
}

// phantom: Atlantis lists every key that begins with "pr", and those of pull statuses begin with the name of a host.
func phantom(s *server, t *transcript) {
	pull := pullOf(repo, 42)
	pull.BaseRepo.VCSHost.Hostname = "prod-git.example.com"
	_, err := s.first.UpdatePullWithResults(pull, nil)
	t.say("UpdatePullWithResults", "", err)
	sayList(s, t)
}

func sayList(s *server, t *transcript) {
	locks, err := s.second.List()
	t.say("List", names(locks), err)
}

// some is what there is, as a list.
func some(lock *models.ProjectLock) []models.ProjectLock {
	if lock == nil {
		return nil
	}
	return []models.ProjectLock{*lock}
}
