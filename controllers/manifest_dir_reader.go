package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	// stampTrust is how old a stamp must be to stand for the content. File systems tell times as
	// coarsely as in two seconds, and a second edit within that may leave the stamp as it was.
	stampTrust = 2 * time.Second

	// If no file answers for patience, the poll doubles its workers. After maxStalls times patience
	// it leaves behind the files that have not answered.
	patience  = 100 * time.Millisecond
	maxStalls = 5

	// maxWorkers bounds the threads that wait for files that do not answer.
	maxWorkers = 1000
)

var errNoAnswer = errors.New("does not answer")

// reading is what a look at a file found: its content, or a problem, or that it is gone.
type reading struct {
	content []byte
	problem error
	gone    bool // the folder no longer lists it
}

// reader finds the files of a folder that have changed. It reads those whose stamp has changed, and
// does not wait for one that hangs.
type reader struct {
	files   fileSystem
	path    string
	entries map[string]*entry // by name
	listing chan listing      // gets the result of the call that is under way; nil if none is
	workers atomic.Int64

	folder os.FileInfo   // as of the last listing
	cost   time.Duration // how long a poll takes that reads no file and waits for none
}

type listing struct {
	names  []string
	folder os.FileInfo
	err    error
}

// entry is one file. Whoever has set busy may use it, but silent is the reader's alone.
type entry struct {
	path string
	busy atomic.Bool

	stamp      stamp
	trusted    time.Time // from when on the stamp stands for the content
	checked    bool      // the content was read after that
	known      bool      // the last look found a stamp and a sum
	sum        [sha256.Size]byte
	problem    string
	unreported *reading

	reads  int  // since the last poll
	silent bool // reported as one that does not answer
}

func newReader(path string, files fileSystem) *reader {
	return &reader{files: files, path: path, entries: map[string]*entry{}}
}

// poll looks at each file once and returns what has changed since the last poll, by path. A file
// that does not answer is a problem, and is read anew when it answers. An error means that the
// folder cannot be listed.
func (r *reader) poll(ctx context.Context) (map[string]reading, error) {
	began := time.Now()
	names, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	if r.workers.Load() >= maxWorkers {
		return nil, fmt.Errorf(
			"%d of its files do not answer; none is read until some do", maxWorkers,
		)
	}
	changes := map[string]reading{}
	entries := r.match(names, changes)
	waited := r.lookAt(ctx, entries, began)
	reads := 0
	for _, e := range entries {
		reads += r.collect(e, changes)
	}
	if !waited && reads == 0 {
		r.cost = time.Since(began)
	}
	return changes, nil
}

// list lists the folder. If a call does not answer, the next poll waits for the same call.
func (r *reader) list(ctx context.Context) ([]string, error) {
	if r.listing == nil {
		r.listing = make(chan listing, 1)
		go func(answer chan<- listing) {
			names, folder, err := r.files.list(r.path)
			answer <- listing{names, folder, err}
		}(r.listing)
	}
	timer := time.NewTimer(maxStalls * patience)
	defer timer.Stop()
	select {
	case answer := <-r.listing:
		r.listing, r.folder = nil, answer.folder
		return answer.names, answer.err
	case <-timer.C:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// match makes the entries those of the listed names.
func (r *reader) match(names []string, changes map[string]reading) []*entry {
	entries := make([]*entry, 0, len(r.entries))
	listed := make(map[string]*entry, len(r.entries))
	for _, name := range names {
		if !isManifest(name) {
			continue
		}
		e := r.entries[name]
		if e == nil {
			e = &entry{path: filepath.Join(r.path, name)}
		}
		listed[name] = e
		entries = append(entries, e)
	}
	for name, e := range r.entries {
		if listed[name] == nil {
			changes[e.path] = reading{gone: true}
		}
	}
	r.entries = listed
	return entries
}

// lookAt looks at all entries. It returns once each has answered, or none of the rest has for
// maxStalls times patience. One worker does it all, unless a file holds it up.
func (r *reader) lookAt(ctx context.Context, entries []*entry, now time.Time) (waited bool) {
	if len(entries) == 0 {
		return false
	}
	var next, done atomic.Int64
	finished := make(chan struct{})
	work := func() {
		defer r.workers.Add(-1)
		for i := next.Add(1) - 1; i < int64(len(entries)); i = next.Add(1) - 1 {
			e := entries[i]
			if e.busy.CompareAndSwap(false, true) {
				e.look(r.files, now)
				e.busy.Store(false)
			}
			if done.Add(1) == int64(len(entries)) {
				close(finished)
			}
		}
	}
	start := func(n int64) {
		for range min(n, maxWorkers-r.workers.Load()) {
			r.workers.Add(1)
			go work()
		}
	}
	start(1)
	tick := time.NewTicker(patience)
	defer tick.Stop()
	started, before := int64(1), int64(0)
	for stalls := 0; stalls < maxStalls; {
		select {
		case <-finished:
			return waited
		case <-ctx.Done():
			return true
		case <-tick.C:
		}
		if now := done.Load(); now != before {
			before, stalls = now, 0
			continue
		}
		waited = true
		stalls++
		start(started)
		started *= 2
	}
	return waited
}

// look reads an entry if it may have changed. The caller has set busy.
func (e *entry) look(files fileSystem, now time.Time) {
	s, err := files.stat(e.path)
	same := e.known && s.equal(&e.stamp)
	old := same && !now.Before(e.trusted)
	if err == nil && same && (e.checked || !old && !s.changedAbout(now)) {
		return
	}
	if err == nil {
		err = s.notRegular()
	}
	var content []byte
	if err == nil {
		e.reads++
		content, s, err = files.read(e.path)
	}
	if err != nil {
		if e.problem != err.Error() {
			e.unreported = &reading{problem: err}
		}
		e.known, e.problem = false, err.Error()
		return
	}
	same = e.known && s.equal(&e.stamp)
	if !same {
		e.trusted = now.Add(stampTrust)
	}
	e.checked = same && old
	sum := sha256.Sum256(content)
	if !e.known || sum != e.sum {
		e.sum, e.unreported = sum, &reading{content: content}
	}
	e.stamp, e.known, e.problem = s, true, ""
}

// collect moves the unreported reading of an entry into changes. It returns how often the entry was
// read.
func (r *reader) collect(e *entry, changes map[string]reading) (reads int) {
	free := e.busy.CompareAndSwap(false, true)
	if free {
		defer e.busy.Store(false)
		reads, e.reads = e.reads, 0
	}
	switch {
	case !free || !e.known && e.problem == "": // the look has not ended, or not begun
		if !e.silent {
			e.silent = true
			changes[e.path] = reading{problem: errNoAnswer}
		}
	case e.unreported != nil:
		changes[e.path] = *e.unreported
		e.unreported, e.silent = nil, false
	case e.silent: // it answers again: make the next poll read and report it
		e.known, e.problem = false, ""
	}
	return reads
}
