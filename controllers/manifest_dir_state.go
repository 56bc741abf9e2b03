package controllers

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

const (
	// settle is how long a reading must stand before it counts, so that a file that an editor has
	// emptied, or taken away to write it anew, never does. One that keeps changing counts after
	// settleAtMost.
	settle       = 250 * time.Millisecond
	settleAtMost = time.Second

	// grace is how long an account stays in force that disappeared from a file which is still
	// there.
	grace = 10 * time.Second
)

var errNoDocument = errors.New("holds no document any more; remove the file to remove its accounts")

// dirState decides which accounts of a folder are in force. It reads no file and no clock, and
// changes no limiter.
type dirState struct {
	files   map[string]*fileState
	waiting map[string]waiting
	leaving map[limiter.Key]leaving
	begun   bool // it was advanced once, so that even of no file there is a decision
}

// fileState is what is in force of one file.
type fileState struct {
	accounts []declaration // of the last content that was right
	read     bool          // some content was right
	problem  error         // why the content of now is not in force
}

// waiting is a reading that has not stood for long enough.
type waiting struct {
	reading
	since time.Time // when it was seen
	first time.Time // when the first of the readings was seen that have not counted since
}

// leaving is an account that no right file declares any more.
type leaving struct {
	policy limiter.Policy
	file   string // that declared it
	until  time.Time
}

// note is something that the log should tell of a file.
type note struct {
	file    string
	problem error
	held    bool // what the file held before stays in force
}

func newDirState() *dirState {
	return &dirState{
		files:   map[string]*fileState{},
		waiting: map[string]waiting{},
		leaving: map[limiter.Key]leaving{},
	}
}

// decision is what follows from an observation.
type decision struct {
	changed  bool // something counted; if nothing did, all is as it was
	accounts map[limiter.Key]inForce
	twice    []twice
	complete bool // each file has been right once, so that all accounts are known
	notes    []note
}

// advance is the decision: given what a poll found changed, and when, it brings the state to that
// time. A reading counts once it has stood for the time to settle.
//
// A poll that failed is no observation: then nothing may change, and advance is not called.
func (s *dirState) advance(
	changes map[string]reading, now time.Time, settle time.Duration,
) (d decision) {
	d.changed, s.begun = !s.begun, true
	for name, r := range changes {
		w := waiting{reading: r, since: now, first: now}
		if before, ok := s.waiting[name]; ok {
			w.first = before.first
		}
		s.waiting[name] = w
	}
	for _, p := range parseAll(s.settled(now, settle)) {
		if n := s.take(p, now); n.problem != nil {
			d.notes = append(d.notes, n)
		}
		d.changed = true
	}
	for key, l := range s.leaving {
		if !now.Before(l.until) && s.files[l.file].problem == nil {
			delete(s.leaving, key)
			d.changed = true
		}
	}
	if d.changed {
		d.accounts, d.twice = s.inForce()
		d.complete = s.complete()
	}
	return d
}

// settled removes the readings that count now from those that wait, and returns them by name.
func (s *dirState) settled(now time.Time, settle time.Duration) []parsed {
	var count []parsed
	moving := s.mayHaveMoved(now, settle)
	for _, name := range slices.Sorted(maps.Keys(s.waiting)) {
		w := s.waiting[name]
		if now.Before(w.due(settle)) || w.gone && moving && now.Before(w.first.Add(settleAtMost)) {
			continue
		}
		delete(s.waiting, name)
		count = append(count, parsed{name: name, reading: w.reading})
	}
	return count
}

// due is when a reading counts.
func (w *waiting) due(settle time.Duration) time.Time {
	due := w.since.Add(settle)
	if latest := w.first.Add(settleAtMost); latest.Before(due) {
		return latest
	}
	return due
}

// mayHaveMoved reports whether a new file has not counted yet. It may hold what a file that is gone
// held.
func (s *dirState) mayHaveMoved(now time.Time, settle time.Duration) bool {
	for name, w := range s.waiting {
		if !w.gone && s.files[name] == nil && now.Before(w.due(settle)) {
			return true
		}
	}
	return false
}

// take makes a reading count.
func (s *dirState) take(p parsed, now time.Time) note {
	if p.gone {
		delete(s.files, p.name)
		maps.DeleteFunc(s.leaving, func(_ limiter.Key, l leaving) bool { return l.file == p.name })
		return note{}
	}
	file := s.files[p.name]
	if file == nil {
		file = &fileState{}
		s.files[p.name] = file
	}
	if file.problem = p.problem; p.problem == nil && p.documents == 0 && len(file.accounts) > 0 {
		file.problem = errNoDocument
	}
	if file.problem != nil {
		return note{p.name, file.problem, file.read}
	}
	for _, old := range file.accounts {
		s.leaving[old.key] = leaving{old.policy, p.name, now.Add(grace)}
	}
	file.accounts, file.read = p.accounts, true
	return note{}
}

// complete reports whether each file has been right once.
func (s *dirState) complete() bool {
	for _, file := range s.files {
		if !file.read {
			return false
		}
	}
	return true
}

// due is when the state changes though no file does. There is none if it does not.
func (s *dirState) due(settle time.Duration) (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	for _, w := range s.waiting {
		sooner(w.due(settle))
	}
	for _, l := range s.leaving {
		if s.files[l.file].problem == nil {
			sooner(l.until)
		}
	}
	return at, ok
}

// inForce is an account's policy, and the file that it is from.
type inForce struct {
	policy limiter.Policy
	file   string
}

// twice is an account that several files declare.
type twice struct {
	key           limiter.Key
	first, second string
}

// inForce are the policies in force. Of several files that declare an account, the first by name
// holds; what a broken file held comes after all that right files say. An account that some file
// declares is not leaving.
func (s *dirState) inForce() (map[limiter.Key]inForce, []twice) {
	accounts := make(map[limiter.Key]inForce, len(s.files))
	var duplicates []twice
	for _, name := range s.byPrecedence() {
		for _, account := range s.files[name].accounts {
			if first, taken := accounts[account.key]; taken {
				duplicates = append(duplicates, twice{account.key, first.file, name})
				continue
			}
			accounts[account.key] = inForce{account.policy, name}
		}
	}
	for key, l := range s.leaving {
		if _, declared := accounts[key]; declared {
			delete(s.leaving, key)
		} else {
			accounts[key] = inForce{l.policy, l.file}
		}
	}
	return accounts, duplicates
}

func (s *dirState) byPrecedence() []string {
	names, broken := make([]string, 0, len(s.files)), []string(nil)
	for name, file := range s.files {
		if file.problem == nil {
			names = append(names, name)
		} else {
			broken = append(broken, name)
		}
	}
	slices.Sort(names)
	slices.Sort(broken)
	return append(names, broken...)
}
