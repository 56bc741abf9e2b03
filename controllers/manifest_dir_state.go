package controllers

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

const (
	// settle is how long a reading must stand before it counts. Editors empty a file, or remove it,
	// before they write it: that must not count. If the file keeps changing, the reading counts
	// after settleAtMost.
	settle       = 250 * time.Millisecond
	settleAtMost = time.Second

	// grace is how long an account stays in force that a file no longer declares.
	grace = 10 * time.Second
)

var errNoDocument = errors.New("holds no document any more; remove the file to remove its accounts")

// dirState decides which accounts of a folder are in force. It reads no file and no clock, and does
// not change the limiter.
type dirState struct {
	files   map[string]*fileState
	waiting map[string]waiting
	leaving map[limiter.Key]leaving
	begun   bool // advance was called before: the first call decides even without a file
}

// fileState is what Sluice keeps of one file.
type fileState struct {
	accounts []declaration // of the last valid content
	read     bool          // there was valid content
	problem  error         // why the present content is not in force
}

// waiting is a reading that does not count yet.
type waiting struct {
	reading
	since time.Time // when it was seen
	first time.Time // when the first reading was seen after the last that counted
}

// leaving is an account that its file no longer declares.
type leaving struct {
	policy limiter.Policy
	file   string // that declared it
	until  time.Time
}

// note is a problem of a file, for the log.
type note struct {
	file    string
	problem error
	held    bool // the accounts of its last valid content stay in force
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
	changed    bool // something counted; if nothing did, all is as it was
	accounts   map[limiter.Key]enforcedPolicy
	duplicates []duplicate
	complete   bool // each file has been valid once, so that all accounts are known
	notes      []note
}

// advance brings the state to the present, given what a poll found changed. A reading counts once
// it has stood for the time to settle. It is not called for a poll that failed: nothing may change
// then.
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
		if n := s.accept(p, now); n.problem != nil {
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
		d.accounts, d.duplicates = s.policies()
		d.complete = s.complete()
	}
	return d
}

// settled takes the readings that count now out of those that wait, in the order of their names.
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

// mayHaveMoved reports whether a new file does not count yet. A file that is gone may have become
// that one.
func (s *dirState) mayHaveMoved(now time.Time, settle time.Duration) bool {
	for name, w := range s.waiting {
		if !w.gone && s.files[name] == nil && now.Before(w.due(settle)) {
			return true
		}
	}
	return false
}

// accept makes a reading count.
func (s *dirState) accept(p parsed, now time.Time) note {
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
	file.problem = p.problem
	if p.problem == nil && p.documents == 0 && len(file.accounts) > 0 {
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

// complete reports whether each file has been valid once.
func (s *dirState) complete() bool {
	for _, file := range s.files {
		if !file.read {
			return false
		}
	}
	return true
}

// due returns when the state will change even if no file does. If it will not, ok is false.
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

// enforcedPolicy is an account's policy, and the file that it is from.
type enforcedPolicy struct {
	policy limiter.Policy
	file   string
}

// duplicate is an account that several files declare.
type duplicate struct {
	key           limiter.Key
	first, second string
}

// policies returns the policies in force. If several files declare an account, the first by name
// holds; a broken file comes after all valid ones. An account that some file declares stays.
func (s *dirState) policies() (map[limiter.Key]enforcedPolicy, []duplicate) {
	accounts := make(map[limiter.Key]enforcedPolicy, len(s.files))
	var duplicates []duplicate
	for _, name := range s.byPrecedence() {
		for _, account := range s.files[name].accounts {
			if first, taken := accounts[account.key]; taken {
				duplicates = append(duplicates, duplicate{account.key, first.file, name})
				continue
			}
			accounts[account.key] = enforcedPolicy{account.policy, name}
		}
	}
	for key, l := range s.leaving {
		if _, declared := accounts[key]; declared {
			delete(s.leaving, key)
		} else {
			accounts[key] = enforcedPolicy{l.policy, l.file}
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
