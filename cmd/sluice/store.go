package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/journal"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// store is what serve needs of a store, besides what the limiter needs.
type store interface {
	limiter.Store
	RunSweep(ctx context.Context, clock limiter.Clock)
	RunExpiry(ctx context.Context, clock limiter.Clock)
	LastSweep() int64

	// clock tells the time of the limiter. It is right once recover has returned.
	clock() limiter.Clock
	// recover reads what a process before has kept, and tells of it in an event.
	recover(ctx context.Context, tell func(kind, reason, note string)) error
	// failure waits until the store can do no more, or the context ends.
	failure(ctx context.Context) error
	// ready says why no check is answered now, or nil. A journal is once recover has returned.
	ready() error
	close() error
}

// newStore returns the store that the flags ask for.
func (c *config) newStore(registry *prometheus.Registry, log logr.Logger) (store, error) {
	if c.redis.url != "" {
		return c.newRedisStore(registry, log)
	}
	if c.dataDir == "" {
		return memoryStore{memory.New(c.storeOptions()), limiter.StartClock()}, nil
	}
	pace, err := c.syncPace()
	if err != nil {
		return nil, err
	}
	loss, err := journal.ParseAcceptLoss(c.acceptLoss)
	if err != nil {
		return nil, err
	}
	if runtime.GOMAXPROCS(0) < 2 {
		// With one, nobody else would run while the disk is waited for.
		runtime.GOMAXPROCS(2)
	}
	return journalStore{journal.New(journal.Options{
		Dir: c.dataDir, Sync: pace, TrustClock: c.trustClock, AcceptLoss: loss,
		Memory: c.storeOptions(), Registry: registry, Log: log.WithName("journal"),
	})}, nil
}

// memoryStore forgets everything when the process ends.
type memoryStore struct {
	*memory.Store
	time limiter.Clock
}

func (m memoryStore) clock() limiter.Clock { return m.time }

func (memoryStore) recover(context.Context, func(_, _, _ string)) error { return nil }

func (memoryStore) failure(ctx context.Context) error { <-ctx.Done(); return nil }

func (memoryStore) ready() error { return nil }

func (memoryStore) close() error { return nil }

// journalStore forgets nothing.
type journalStore struct{ *journal.Store }

func (j journalStore) clock() limiter.Clock { return j.Clock() }

func (j journalStore) recover(
	ctx context.Context, tell func(kind, reason, note string),
) error {
	found, err := j.Recover(ctx)
	if damage := (*journal.Damage)(nil); errors.As(err, &damage) {
		tell("Warning", "JournalDamaged", damage.Error())
	}
	if err != nil {
		return err
	}
	away := found.Away.Round(time.Millisecond)
	switch found.Assumption {
	case journal.FirstStart:
		tell("Normal", "JournalCreated", "There was no journal yet: nothing is known to have been sent.")
	case journal.NoTime:
		tell("Warning", "JournalRead", fmt.Sprintf("Read %d accounts with %d sends and %d "+
			"reservations. The clock of this machine is not synchronised, so that no time counts "+
			"as passed since they were written.",
			found.Accounts, found.Messages, found.Reservations))
	default:
		tell("Normal", "JournalRead", fmt.Sprintf("Read %d accounts with %d sends and %d "+
			"reservations, written until %s ago.",
			found.Accounts, found.Messages, found.Reservations, away))
	}
	return nil
}

func (j journalStore) failure(ctx context.Context) error {
	select {
	case <-j.Failed():
		return fmt.Errorf("the journal cannot be written any more, and the process ends so that "+
			"the next one reads what the disk really has: %w", j.Err())
	case <-ctx.Done():
		return nil
	}
}

func (j journalStore) ready() error { return nil }

func (j journalStore) close() error {
	if err := j.Close(); err != nil {
		return fmt.Errorf("the journal could not be closed: %w", err)
	}
	return nil
}
