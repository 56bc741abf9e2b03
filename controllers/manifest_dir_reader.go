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

	// patience is how long no file answers before as many workers again are started, and patience
	// times enough is when those that have not answered are given up for this poll.
	patience = 100 * time.Millisecond
	enough   = 5

	// maxWorkers bounds the threads that wait for files that do not answer.
	maxWorkers = 1000
)

var errNoAnswer = errors.New("does not answer")

// reading is what a look at a name found: content, or a problem, or that the name is no longer
// listed.
type reading struct {
	content []byte
	problem error
	gone    bool
}

// reader observes the files of a folder. It reads those whose stamp has changed, and waits for none
// that hangs.
type reader struct {
	files   fileSystem
	path    string
	entries map[string]*entry // by name
	listing chan listing      // of the call that is under way; nil if none is
	workers atomic.Int64

	folder os.FileInfo   // as of the last listing
	cost   time.Duration // of the last poll that read no file, and waited for none
}

type listing struct {
	names  []string
	folder os.FileInfo
	err    error
}

// entry is one file. Whoever has set busy has it to himself; silent belongs to the reader.
type entry struct {
	path string
	busy atomic.Bool

	stamp      stamp
	trusted    time.Time // when the stamp is old enough
	checked    bool      // the content was read after that
	known      bool      // the stamp and the sum are of the last look
	sum        [sha256.Size]byte
	problem    string
	unreported *reading

	reads  int  // since the last poll
	silent bool // reported as one that does not answer
}

func newReader(path string, files fileSystem) *reader {
	return &reader{files: files, path: path, entries: map[string]*entry{}}
}

// poll looks at each file once, and returns what has changed since the last poll, by path. A file
// that does not answer is left behind, and is reported again when it does. It returns an error if
// the folder cannot be listed.
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

// list lists the folder. A call that does not answer stays under way, and the next poll waits for
// it again.
func (r *reader) list(ctx context.Context) ([]string, error) {
	if r.listing == nil {
		r.listing = make(chan listing, 1)
		go func(answer chan<- listing) {
			names, folder, err := r.files.list(r.path)
			answer <- listing{names, folder, err}
		}(r.listing)
	}
	timer := time.NewTimer(enough * patience)
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

// match brings the entries to the names that are listed.
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

// lookAt looks at all entries, and returns once each has answered or the rest has been silent for
// long enough. One worker does it all, unless a file holds it up.
func (r *reader) lookAt(ctx context.Context, entries []*entry, now time.Time) (waited bool) {
	if len(entries) == 0 {
		return false
	}
	var next, done atomic.Int64
	finished := make(chan struct{})
	work := func() {
		defer r.workers.Add(-1)
		for i := next.Add(1) - 1; i < int64(len(entries)); i = next.Add(1) - 1 {
			if e := entries[i]; e.busy.CompareAndSwap(false, true) {
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
	for started, before, silent := int64(1), int64(0), 0; silent < enough; {
		select {
		case <-finished:
			return waited
		case <-ctx.Done():
			return true
		case <-tick.C:
		}
		if now := done.Load(); now != before {
			before, silent = now, 0
			continue
		}
		waited = true
		silent++
		start(started)
		started *= 2
	}
	return waited
}

// look finds out what an entry is now. The caller has set busy.
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
	if same = e.known && s.equal(&e.stamp); !same {
		e.trusted = now.Add(stampTrust)
	}
	e.checked = same && old
	if sum := sha256.Sum256(content); !e.known || sum != e.sum {
		e.sum, e.unreported = sum, &reading{content: content}
	}
	e.stamp, e.known, e.problem = s, true, ""
}

// collect moves what an entry has to report into changes, and tells how often it was read.
func (r *reader) collect(e *entry, changes map[string]reading) (reads int) {
	free := e.busy.CompareAndSwap(false, true)
	if free {
		defer e.busy.Store(false)
		reads, e.reads = e.reads, 0
	}
	switch {
	case !free || !e.known && e.problem == "": // it is not looked at yet, or again
		if !e.silent {
			e.silent = true
			changes[e.path] = reading{problem: errNoAnswer}
		}
	case e.unreported != nil:
		changes[e.path] = *e.unreported
		e.unreported, e.silent = nil, false
	case e.silent: // it answers again: the next poll reports what it holds anew
		e.known, e.problem = false, ""
	}
	return reads
}
