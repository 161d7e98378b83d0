package main

import (
	"fmt"
	"sync"

	store "github.com/runatlantis/atlantis/server/core/redis"
	"github.com/runatlantis/atlantis/server/events/command"
)

// race is something that goes wrong in Atlantis when two clients are at it at once. How often differs from run to run
// with Redis; with the port it must never happen, unless it is meant to stay as it is.
type race struct {
	name string
	// round runs once and says whether it went wrong. An error stops everything: no check expects one.
	round func(first, second *store.RedisDB) (wrong bool, err error)
	// share is the part of the rounds that is enough, since one takes longer: one in so many.
	share int
	// stays is set where the port does not change what Atlantis does: it is counted, and not judged.
	stays bool
}

// The numbers are those of better.go.
var races = []race{
	{"B5 TryLock: both pull requests get it", bothLock, 1, false},
	{"B6 LockCommand: both get it", bothCommand, 1, false},
	{"B7 List fails while locks come and go (stays)", listWhileReleased, 4, true},
	{"B13 two updates of a pull status lose one (stays)", lostUpdate, 1, true},
}

// raceAll runs every race on every server and adds their rows.
func raceAll(servers []*server, table *table, given options) ([]string, error) {
	table.gap()
	var unexpected []string
	for _, race := range races {
		rounds := max(given.rounds/race.share, 1)
		var cells []string
		for index, server := range servers {
			if err := server.clear(); err != nil {
				return nil, err
			}
			wrong := 0
			for range rounds {
				failed, err := race.round(server.first, server.second)
				if err != nil {
					return nil, fmt.Errorf("%s, on %s: %w", race.name, server.name, err)
				}
				if failed {
					wrong++
				}
			}
			cells = append(cells, fmt.Sprintf("%d of %d", wrong, rounds))
			if wrong > 0 && index > 0 && !race.stays {
				unexpected = append(unexpected, fmt.Sprintf("%s, on %s: %d times of %d", race.name, server.name, wrong, rounds))
			}
		}
		table.add(race.name, cells)
	}
	return unexpected, nil
}

// together runs both at the same moment, as far as that can be arranged, and waits for them.
func together(one, other func()) {
	start := make(chan struct{})
	var group sync.WaitGroup
	for _, work := range []func(){one, other} {
		group.Go(func() {
			<-start
			work()
		})
	}
	close(start)
	group.Wait()
}

// bothLock: TryLock is GET, then SET, and the second SET overwrites the first.
func bothLock(first, second *store.RedisDB) (bool, error) {
	var won [2]bool
	var errs [2]error
	one, other := lockOf(repo, "race", "", 1), lockOf(repo, "race", "", 2)
	together(
		func() { won[0], _, errs[0] = first.TryLock(one) },
		func() { won[1], _, errs[1] = second.TryLock(other) },
	)
	// The port refuses the second SET, and Atlantis reports that as an error: it does not have the lock.
	if !won[0] && !won[1] {
		return false, fmt.Errorf("nobody got a free lock: %v, %v", errs[0], errs[1])
	}
	_, err := first.Unlock(one.Project, workspace)
	return won[0] && won[1], err
}

// bothCommand: so is LockCommand.
func bothCommand(first, second *store.RedisDB) (bool, error) {
	var errs [2]error
	together(
		func() { _, errs[0] = first.LockCommand(command.Apply, noon) },
		func() { _, errs[1] = second.LockCommand(command.Apply, noon) },
	)
	if errs[0] != nil && errs[1] != nil {
		return false, fmt.Errorf("nobody got a free lock: %v, %v", errs[0], errs[1])
	}
	return errs[0] == nil && errs[1] == nil, first.UnlockCommand(command.Apply)
}

// listWhileReleased: List is SCAN, then GET of every key, and a lock may be released in between. Atlantis takes the
// missing value for a failure; the port has none to give.
func listWhileReleased(first, second *store.RedisDB) (bool, error) {
	var listed, err error
	together(
		func() { _, listed = first.List() },
		func() {
			for index := range 10 {
				lock := lockOf(repo, fmt.Sprintf("churn%d", index), "", 1)
				if _, _, err = second.TryLock(lock); err != nil {
					return
				}
				if _, err = second.Unlock(lock.Project, workspace); err != nil {
					return
				}
			}
		},
	)
	return listed != nil, err
}

// lostUpdate: a pull status is GET, then SET, and the second SET has not seen what the first wrote. To the port that is a
// value like any other: it cannot know what a client has seen, and takes the last one as Redis does.
func lostUpdate(first, second *store.RedisDB) (bool, error) {
	pull := pullOf(repo, 42)
	var errs [2]error
	together(
		func() { _, errs[0] = first.UpdatePullWithResults(pull, planResults("one")) },
		func() { _, errs[1] = second.UpdatePullWithResults(pull, planResults("other")) },
	)
	status, err := first.GetPullStatus(pull)
	if err != nil {
		return false, err
	}
	stored := 0
	if status != nil {
		stored = len(status.Projects)
	}
	written := 0
	for _, err := range errs {
		if err == nil {
			written++
		}
	}
	if written == 0 {
		return false, fmt.Errorf("neither could write: %v, %v", errs[0], errs[1])
	}
	return stored < written, first.DeletePullStatus(pull)
}

func planResults(path string) []command.ProjectResult {
	return []command.ProjectResult{planOf(path, "")}
}
