package memory

import (
	"errors"
	"fmt"
	"math"

	"github.com/sluice-mail/sluice/limiter"
)

// EffectKind says what an [Effect] did.
type EffectKind uint8

// The kinds. Their numbers are written to disks: they never change.
const (
	_ EffectKind = iota
	// Granted: a check was allowed. It has ID, Cost and Deadline.
	Granted
	// Committed: an outstanding reservation became a send. It has ID and Cost.
	Committed
	// CommittedLate: the same, of one that had expired.
	CommittedLate
	// CommittedUnreserved: a send that no reservation stood for. It has Cost, and ID unless
	// Anonymous.
	CommittedUnreserved
	// Released: an outstanding reservation was given back. It has ID.
	Released
	// Merged: a denial merged the stamps of a full history. See docs/design/0001-running-sums.md.
	Merged
	// Purged: the account is gone. It is the last effect of an account.
	Purged
)

// Effect is one change of an account that a call made. Those that time alone makes, such as the
// expiry of a reservation, are no effects: they follow from the deadlines.
type Effect struct {
	Kind EffectKind
	// Anonymous is set in a CommittedUnreserved that named no reservation.
	Anonymous bool
	// CostsMore is set in a Committed that cost more than was reserved.
	CostsMore bool
	ID        IDHash
	// At is the instant of the account, as [limiter.Instant].Mono.
	At       int64
	Cost     int64
	Deadline int64
}

// OpenRecorded returns a new account like [Store.Open], and has record told of its effects, in the
// order in which they happen. The account is locked meanwhile: record must not block, nor call the
// account.
func (s *Store) OpenRecorded(record func(Effect)) *Account {
	a := s.open()
	a.record = record
	return a
}

// errReplay is returned by [Account.Replay] for effects that cannot have happened to the account.
var errReplay = errors.New("the effect does not fit the account")

// Replay repeats an effect that was recorded of an account with the same past, and records it no
// more. Nothing is decided again: policies and bounds play no part. The effects of one account must
// be replayed in their order.
func (a *Account) Replay(e Effect) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.purged {
		return errReplay
	}
	record := a.record
	a.record = nil
	defer func() { a.record = record }()
	if e.Kind == Purged {
		a.purge()
		return nil
	}
	a.advance(e.At, math.MaxInt)
	return a.replay(e)
}

// replay repeats an effect of an account that was brought to its instant.
func (a *Account) replay(e Effect) error {
	place, ended := a.reservations.find(e.ID)
	known := place != none || ended != nil
	switch {
	case e.Cost < 0 || e.Cost > limiter.MaxCost:
	case e.Kind == Granted && !known && e.Cost > 0:
		a.store.reservationCap.acquireBeyond(a.stripe)
		a.reserve(e.ID, e.Cost, e.Deadline)
		return nil
	case e.Kind == Committed && place != none:
		a.commitOutstanding(place, e.Cost)
		return nil
	case e.Kind == CommittedLate && ended != nil && ended.state == expired,
		e.Kind == CommittedUnreserved && ended != nil && ended.state == released:
		a.commitEnded(ended, e.ID, e.Cost)
		return nil
	case e.Kind == CommittedUnreserved && e.Anonymous:
		a.commitAnonymous(e.Cost)
		return nil
	case e.Kind == CommittedUnreserved && !known:
		a.commitUnknown(e.ID, e.Cost)
		return nil
	case e.Kind == Released && place != none:
		a.release(place)
		return nil
	case e.Kind == Merged:
		a.sent.settle(a.now)
		return nil
	}
	return fmt.Errorf("%w: %+v", errReplay, e)
}
