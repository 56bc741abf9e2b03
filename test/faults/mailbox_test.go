//go:build faults

package faults

import (
	"slices"
	"sync"
	"time"
)

// mailbox is an account as its dispatchers and its provider know it.
type mailbox struct {
	name  string
	limit int // a minute; 0 is none

	mu   sync.Mutex
	sent []time.Time // the mails, as the provider counts them
	// allowed are the checks that were answered with Allow, and until when, since take.
	allowed map[string]time.Time
	tally
}

// tally counts attempts to send.
type tally struct {
	asked        int // that may hold a slot: all but those that were denied
	acknowledged int // that were answered with Allow
	releasing    int // whose release was asked for
	released     int // whose release was answered
}

func newMailbox(name string, limit int) *mailbox {
	return &mailbox{name: name, limit: limit, allowed: map[string]time.Time{}}
}

// update changes the mailbox.
func (m *mailbox) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// now returns the tally.
func (m *mailbox) now() tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tally
}

// allow notes an answer.
func (m *mailbox) allow(id string, until time.Time) {
	m.update(func() {
		m.acknowledged++
		m.allowed[id] = until
	})
}

// take returns the answers since the last time.
func (m *mailbox) take() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.allowed
	m.allowed = map[string]time.Time{}
	return taken
}

// send sends a mail, unless the time for that is over.
func (m *mailbox) send(until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Before(until) {
		m.sent = append(m.sent, now)
	}
}

// fullest is the largest number of mails in any minute, wherever it begins. No minute holds two
// mails that are a whole one apart.
func (m *mailbox) fullest() (most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortFunc(m.sent, time.Time.Compare)
	first := 0
	for i, at := range m.sent {
		for at.Sub(m.sent[first]) >= time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
