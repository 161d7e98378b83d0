package main

import (
	"fmt"
	"time"

	"github.com/runatlantis/atlantis/server/events/command"
	"github.com/runatlantis/atlantis/server/events/models"
)

// sameChecks are the operations that Atlantis cannot tell apart: every answer is that of Redis.
var sameChecks = []check{
	{name: "TryLock, GetLock, Unlock", run: oneLock},
	{name: "TryLock of other projects", run: otherProjects},
	{name: "UnlockIfOwnedByPull", run: ownedByPull},
	{name: "List, UnlockByPull", run: wholePull},
	{name: "UnlockByPull of acme/in[f]ra", run: glob},
	{name: "Unlock, retaken since on the same machine", run: retakenHere},
	{name: "LockCommand, CheckCommandLock, UnlockCommand", run: commandLock},
	{name: "UpdatePullWithResults, GetPullStatus, …", run: pullStatus},
	{name: "start: a key of v0.39 is taken over", run: oldKey},
}

// oneLock is the life of a lock: taken, refused to others and to the same pull request, looked at, given back.
func oneLock(s *server, t *transcript) {
	lock := lockOf(repo, "envs/prod", "net", 42)
	tryLock(s, t, lock)
	tryLock(s, t, lockOf(repo, "envs/prod", "net", 7))
	again := lockOf(repo, "envs/prod", "net", 42)
	again.Pull.HeadCommit, again.Time = "0000000", noon.Add(time.Hour)
	tryLock(s, t, again)
	getLock(s, t, lock)
	list(s, t)
	unlock(s, t, lock)
	unlock(s, t, lock)
	getLock(s, t, lock)
	tryLock(s, t, lockOf(repo, "envs/prod", "net", 7))
	t.say("Ping", "", s.first.Ping())
}

// otherProjects are free although their neighbour is locked: the root, deep paths, sub-groups, blanks, pull requests
// of drift detection with their negative numbers.
func otherProjects(s *server, t *transcript) {
	for _, lock := range []models.ProjectLock{
		lockOf(repo, ".", "", 1),
		lockOf(repo, "", "named", 1),
		lockOf(repo, "a/b/c/d", "", 2),
		lockOf(repo, "a/b/c/d", "with/slash", 2),
		inWorkspace(lockOf(repo, "a/b/c/d", "", 3), "staging"),
		lockOf("group/sub/infra", "envs/prod", "", 4),
		lockOf("acme/with blank", "päth/with blank", "", 5),
		lockOf("acme/drift", ".", "", -536870912),
	} {
		tryLock(s, t, lock)
		getLock(s, t, lock)
	}
	list(s, t)
}

// ownedByPull is the release that asks who holds the lock.
func ownedByPull(s *server, t *transcript) {
	lock := lockOf(repo, "envs/prod", "", 42)
	ownedUnlock := func(number int) {
		got, err := s.first.UnlockIfOwnedByPull(lock.Project, lock.Workspace, number)
		t.say(fmt.Sprintf("UnlockIfOwnedByPull %d", number), got, err)
	}
	ownedUnlock(42)
	tryLock(s, t, lock)
	ownedUnlock(7)
	getLock(s, t, lock)
	ownedUnlock(42)
	getLock(s, t, lock)
}

// wholePull releases all that one pull request holds, more than one page of SCAN, and nothing of others.
func wholePull(s *server, t *transcript) {
	list(s, t)
	unlockByPull(s, t, repo, 42)
	for index := range 30 {
		tryLock(s, t, lockOf(repo, fmt.Sprintf("p%d", index), "", 42+index%3))
	}
	tryLock(s, t, lockOf("other/infra", "p", "", 42))
	unlockByPull(s, t, repo, 42)
	list(s, t)
}

// glob is a name that means something else in a pattern, and Atlantis does not escape it. No host allows such names.
func glob(s *server, t *transcript) {
	tryLock(s, t, lockOf("acme/in[f]ra", "p", "", 42))
	tryLock(s, t, lockOf(repo, "p", "", 42))
	unlockByPull(s, t, "acme/in[f]ra", 42)
	list(s, t)
}

// commandLock is the lock that keeps everybody from applying.
func commandLock(s *server, t *transcript) {
	look := func() {
		got, err := s.second.CheckCommandLock(command.Apply)
		t.say("CheckCommandLock", got, err)
	}
	look()
	t.say("UnlockCommand", "", s.first.UnlockCommand(command.Apply))
	for range 2 {
		got, err := s.first.LockCommand(command.Apply, noon)
		t.say("LockCommand", got, err)
	}
	look()
	tryLock(s, t, lockOf(repo, ".", "", 1))
	list(s, t)
	t.say("UnlockCommand", "", s.first.UnlockCommand(command.Apply))
	look()
	got, err := s.second.LockCommand(command.Apply, noon.Add(time.Hour))
	t.say("LockCommand", got, err)
}

// pullStatus is what became of the plans of a pull request: written, merged, replaced by a new commit, deleted.
func pullStatus(s *server, t *transcript) {
	pull := pullOf(repo, 42)
	look := func() {
		got, err := s.second.GetPullStatus(pull)
		t.say("GetPullStatus", got, err)
	}
	update := func(results ...command.ProjectResult) {
		got, err := s.first.UpdatePullWithResults(pull, results)
		t.say("UpdatePullWithResults", got, err)
		look()
	}
	discard := func(path string) {
		t.say("UpdateProjectStatus", "", s.first.UpdateProjectStatus(pull, workspace, path, models.DiscardedPlanStatus))
		look()
	}
	look()
	discard("envs/prod")
	update(planOf("envs/prod", "net"), failureOf(".", "", command.Plan))
	update(appliedOf("envs/prod", "net"), planOf("envs/dev", ""))
	discard("envs/dev")
	list(s, t)
	pull.HeadCommit = "0000000"
	update(planOf("envs/dev", ""), failureOf("envs/prod", "net", command.PolicyCheck))
	t.say("DeletePullStatus", "", s.first.DeletePullStatus(pull))
	look()
	t.say("DeletePullStatus", "", s.first.DeletePullStatus(pull))
}

// oldKey is a lock of v0.39, whose key lacks the name of the project: an Atlantis of today takes it over when it starts.
func oldKey(s *server, t *transcript) {
	lock := lockOf(repo, "prod", "net", 42)
	t.say("a lock of v0.39", "", s.put("pr/acme/infra/prod/default", asJSON(lock)))
	restart(s, t)
	getLock(s, t, lock)
	list(s, t)
	unlockByPull(s, t, repo, 42)
	list(s, t)
}

// restart opens the store once more, as an Atlantis that starts.
func restart(s *server, t *transcript) {
	db, err := s.atlantis()
	t.say("start", "", err)
	if err == nil {
		_ = db.Close()
	}
}

func tryLock(s *server, t *transcript, lock models.ProjectLock) {
	acquired, holder, err := s.first.TryLock(lock)
	t.say(fmt.Sprintf("TryLock for %d: %t", lock.Pull.Num, acquired), holder, err)
}

func getLock(s *server, t *transcript, lock models.ProjectLock) {
	got, err := s.second.GetLock(lock.Project, lock.Workspace)
	t.say("GetLock", got, err)
}

func unlock(s *server, t *transcript, lock models.ProjectLock) {
	got, err := s.second.Unlock(lock.Project, lock.Workspace)
	t.say("Unlock", got, err)
}

func list(s *server, t *transcript) {
	got, err := s.second.List()
	t.say("List", got, err)
}

func unlockByPull(s *server, t *transcript, repo string, number int) {
	got, err := s.first.UnlockByPull(repo, number)
	t.say(fmt.Sprintf("UnlockByPull %s %d", repo, number), got, err)
}
