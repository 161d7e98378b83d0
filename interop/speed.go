package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	store "github.com/runatlantis/atlantis/server/core/redis"
)

// fillers are how many workers take the locks that List is measured with.
const fillers = 16

// measureAll adds how fast each server is, seen from Atlantis. No speed is unexpected: it depends on the machine.
func measureAll(servers []*server, table *table, given options) ([]string, error) {
	if given.locks == 0 {
		return nil, nil
	}
	table.gap()
	for _, workers := range []int{1, 16} {
		name := fmt.Sprintf("pairs of TryLock and Unlock, %d workers", workers)
		if workers == 1 {
			name = "pairs of TryLock and Unlock, 1 worker"
		}
		err := measure(servers, table, name, func(s *server) (string, error) {
			rate, err := pairs(s.first, workers, given.measure)
			return fmt.Sprintf("%.0f/s", rate), err
		})
		if err != nil {
			return nil, err
		}
	}
	var released []string
	err := measure(servers, table, fmt.Sprintf("List of %d locks", given.locks), func(s *server) (string, error) {
		listing, releasing, err := many(s.first, given.locks)
		released = append(released, milliseconds(releasing))
		return milliseconds(listing), err
	})
	if err != nil {
		return nil, err
	}
	table.add(fmt.Sprintf("UnlockByPull of %d locks", given.locks), released)
	return nil, nil
}

// measure adds a row with one measurement of each server, one after the other.
func measure(servers []*server, table *table, name string, of func(*server) (string, error)) error {
	var cells []string
	for _, server := range servers {
		if err := server.clear(); err != nil {
			return err
		}
		cell, err := of(server)
		if err != nil {
			return fmt.Errorf("%s, on %s: %w", name, server.name, err)
		}
		cells = append(cells, cell)
	}
	table.add(name, cells)
	return nil
}

// pairs counts how often a second workers lock and unlock, each a project of its own.
func pairs(db *store.RedisDB, workers int, during time.Duration) (float64, error) {
	start := time.Now()
	var done atomic.Int64
	err := work(workers, func(worker int) error {
		lock := lockOf(repo, fmt.Sprintf("w%d", worker), "", 42)
		for time.Since(start) < during {
			if acquired, _, err := db.TryLock(lock); err != nil || !acquired {
				return fmt.Errorf("TryLock of a free project: %t, %v", acquired, err)
			}
			if released, err := db.Unlock(lock.Project, workspace); err != nil || released == nil {
				return fmt.Errorf("Unlock of a held lock: %v, %v", released, err)
			}
			done.Add(1)
		}
		return nil
	})
	return float64(done.Load()) / time.Since(start).Seconds(), err
}

// many takes that many locks, and times how long List takes, and UnlockByPull of them all.
func many(db *store.RedisDB, count int) (listing, releasing time.Duration, err error) {
	err = work(fillers, func(worker int) error {
		for index := worker; index < count; index += fillers {
			if acquired, _, err := db.TryLock(lockOf(repo, fmt.Sprintf("p%d", index), "", 42)); err != nil || !acquired {
				return fmt.Errorf("TryLock of a free project: %t, %v", acquired, err)
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	listed, err := db.List()
	listing = time.Since(start)
	if err == nil && len(listed) != count {
		err = fmt.Errorf("%d locks are held, and List has %d", count, len(listed))
	}
	if err != nil {
		return 0, 0, err
	}
	start = time.Now()
	released, err := db.UnlockByPull(repo, 42)
	releasing = time.Since(start)
	if err == nil && len(released) != count {
		err = fmt.Errorf("%d locks are held, and UnlockByPull released %d", count, len(released))
	}
	return listing, releasing, err
}

// work runs workers at once and returns the first error of one.
func work(workers int, of func(worker int) error) error {
	errs := make(chan error, workers)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			if err := of(worker); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

func milliseconds(elapsed time.Duration) string { return fmt.Sprintf("%d ms", elapsed.Milliseconds()) }
