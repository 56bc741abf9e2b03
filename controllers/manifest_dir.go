package controllers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter"
)

const (
	// pollInterval is the time between two polls of a small folder. That of a large one is
	// pollShare times as long as a poll takes, but at most longestInterval.
	pollInterval    = 500 * time.Millisecond
	pollShare       = 100
	longestInterval = 10 * time.Second

	// leastInterval is the least time between two polls, however many changes the system tells of.
	leastInterval = 100 * time.Millisecond
)

// manifestDirUID is the uid of all accounts from a folder: there, an account lives as long as its
// name is in a file.
const manifestDirUID = "folder"

// ManifestDir makes the limiter enforce the MailAccounts in the *.yaml, *.yml and *.json files of a
// folder, not of its subfolders. It polls them. Where the file system tells of changes, it polls at
// once.
type ManifestDir struct {
	path    string
	limiter *limiter.Limiter
	log     logr.Logger

	reader   *reader
	watcher  *watcher // nil: polled only
	interval time.Duration
	state    *dirState
	first    map[string]reading             // what NewManifestDir found
	wanted   map[limiter.Key]enforcedPolicy // what the folder says
	complete bool                           // each file has been valid
	accounts map[limiter.Key]enforcedPolicy // in the limiter
	retry    bool                           // the limiter could not be brought to what is wanted
	failing  bool                           // the last poll failed
	opened   bool
}

// NewManifestDir returns a ManifestDir for a path, or an error if it cannot be read. It waits for a
// folder that does not answer, until the context ends.
func NewManifestDir(
	ctx context.Context, path string, l *limiter.Limiter, log logr.Logger,
) (*ManifestDir, error) {
	f, err := newManifestDir(ctx, path, l, log, realFiles{})
	if err != nil {
		return nil, err
	}
	f.watcher = newWatcher(f.path, log)
	return f, nil
}

func newManifestDir(
	ctx context.Context, path string, l *limiter.Limiter, log logr.Logger, files fileSystem,
) (*ManifestDir, error) {
	path = filepath.Clean(path)
	f := &ManifestDir{
		path: path, limiter: l, log: log,
		reader: newReader(path, files), interval: pollInterval, state: newDirState(),
	}
	for {
		var err error
		f.first, err = f.reader.poll(ctx)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errNoAnswer) {
			return nil, fmt.Errorf("the folder of accounts cannot be read: %w", err)
		}
		f.failed(err)
	}
}

// Start loads the folder and follows its changes until the context ends. Then it returns at once,
// also while a file does not answer.
func (f *ManifestDir) Start(ctx context.Context) error {
	f.failing = false
	f.advance(ctx, f.first, time.Now(), 0)
	f.first = nil
	var wake <-chan struct{}
	if f.watcher != nil {
		wake = f.watcher.wake
		f.watcher.follow(f.reader.folder)
		go f.watcher.run(ctx)
	}
	for polled := time.Now(); ; polled = time.Now() {
		if !f.pause(ctx, wake, polled) {
			return nil
		}
		changes, err := f.reader.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.failed(err)
			continue
		}
		f.failing = false
		if f.watcher != nil {
			f.watcher.follow(f.reader.folder)
		}
		f.advance(ctx, changes, time.Now(), settle)
	}
}

// pause waits for the next poll, and reports whether there is one.
func (f *ManifestDir) pause(ctx context.Context, wake <-chan struct{}, polled time.Time) bool {
	at := polled.Add(max(f.interval, min(pollShare*f.reader.cost, longestInterval)))
	if due, ok := f.state.due(settle); ok && due.Before(at) {
		at = due
	}
	earliest := polled.Add(leastInterval)
	if at.Before(earliest) {
		at = earliest
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-wake:
	}
	timer.Reset(time.Until(earliest))
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (f *ManifestDir) failed(err error) {
	if !f.failing {
		f.log.Error(err, "the folder of accounts cannot be read; its accounts stay in force")
	}
	f.failing = true
}

// advance brings the limiter to what a poll found. It opens the limiter once each file has been
// valid.
func (f *ManifestDir) advance(
	ctx context.Context, changes map[string]reading, now time.Time, settle time.Duration,
) {
	d := f.state.advance(changes, now, settle)
	for _, n := range d.notes {
		f.tell(n)
	}
	switch {
	case d.changed:
		f.wanted, f.complete = d.accounts, d.complete
	case !f.retry:
		return
	}
	for _, t := range d.duplicates {
		f.log.Error(nil, "account is declared twice; the first one holds",
			"account", t.key, "first", t.first, "second", t.second)
	}
	changed, removed, err := f.enforce(ctx)
	if err != nil && !f.retry {
		f.log.Error(err, "accounts cannot be brought into force; trying again at each poll")
	}
	f.retry = err != nil
	if changed > 0 || removed > 0 || !f.opened {
		f.log.Info("accounts in force",
			"accounts", len(f.accounts), "changed", changed, "removed", removed)
	}
	if f.complete && !f.retry && !f.opened {
		f.opened = true
		f.limiter.MarkLoaded()
	}
}

// enforce brings the limiter to what is wanted. It does not touch accounts whose policy is in force
// already. An error is one of the store; what it could not do is done when enforce is called again.
func (f *ManifestDir) enforce(ctx context.Context) (changed, removed int, err error) {
	if f.accounts == nil {
		f.accounts = make(map[limiter.Key]enforcedPolicy, len(f.wanted))
	}
	for key, account := range f.wanted {
		if before, ok := f.accounts[key]; ok && before.policy == account.policy {
			f.accounts[key] = account
			continue
		}
		differs, e := f.limiter.Apply(ctx, key, manifestDirUID, account.policy)
		if e != nil {
			err = e
			continue
		}
		f.accounts[key] = account
		if differs {
			changed++
		}
	}
	for key := range f.accounts {
		if _, ok := f.wanted[key]; ok {
			continue
		}
		if _, e := f.limiter.Purge(ctx, key); e != nil {
			err = e
			continue
		}
		delete(f.accounts, key)
		removed++
	}
	return changed, removed, err
}

func (f *ManifestDir) tell(n note) {
	consequence := "its accounts are unknown until it is put right"
	switch {
	case n.held:
		consequence = "its accounts stay as they were"
	case !f.opened:
		consequence = "checks are answered with 503 until it is put right"
	}
	f.log.Error(n.problem, "broken file; "+consequence, "file", n.file)
}
