package memory

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-mail/sluice/limiter"
)

// DefaultMaxReservations bounds the outstanding reservations of all accounts together, unless
// [Options] say otherwise.
const DefaultMaxReservations = 1_000_000

// minPerAccount is the least bound for one account, unless [Options] say otherwise.
const minPerAccount = 1000

// Options are the bounds of a [Store]. The zero value is the default.
type Options struct {
	// MaxReservations is how many reservations may be outstanding at a time, over all accounts. 0
	// or less is [DefaultMaxReservations].
	MaxReservations int
	// MaxReservationsPerAccount is how many of them one account may hold. 0 or less is a quarter of
	// MaxReservations, and at least 1,000.
	MaxReservationsPerAccount int
	// HashID returns the 128 bits by which an id is remembered. Nil is a hash with a random key of
	// this process. Whoever keeps effects or images for another process needs a hash that it can
	// make again, with a key that nobody can guess.
	HashID func(id string) IDHash
}

// Store is a [limiter.Store] in memory. Make one with [New]. Accounts share no lock but that of the
// deadlines, which a check takes once in a while.
type Store struct {
	hashID     func(id string) IDHash
	deadlines  *deadlines
	perAccount int // how many reservations one account may hold
	// reservationCap bounds the outstanding reservations of all accounts. One that expired counts
	// until its account is next used, woken or swept.
	reservationCap *semaphore
	lastSweep      atomic.Int64 // when the last sweep of RunSweep ended

	mu       sync.Mutex // guards what follows; may be taken while an account is locked
	accounts []*Account // those that are open, in no order
	stripes  uint8      // of the reservation cap, given to accounts in turn
}

var _ limiter.Store = (*Store)(nil)

// New returns a Store without accounts.
func New(o Options) *Store {
	if o.MaxReservations <= 0 {
		o.MaxReservations = DefaultMaxReservations
	}
	if o.MaxReservationsPerAccount <= 0 {
		o.MaxReservationsPerAccount = max(minPerAccount, o.MaxReservations/4)
	}
	if o.HashID == nil {
		o.HashID = newIDHasher().hash
	}
	return &Store{
		hashID: o.HashID, deadlines: newDeadlines(), perAccount: o.MaxReservationsPerAccount,
		reservationCap: newSemaphore(int64(o.MaxReservations)),
	}
}

// Open returns a new account, whatever its key: nothing is kept of an earlier life. See
// [limiter.Store].
func (s *Store) Open(limiter.Key, string) limiter.Account { return s.open() }

func (s *Store) open() *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stripes++
	a := &Account{store: s, stripe: s.stripes, index: int32(len(s.accounts))}
	s.accounts = append(s.accounts, a)
	return a
}

// remove takes a purged account out of the list: the last one takes its place.
func (s *Store) remove(a *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.accounts) - 1
	s.accounts[a.index] = s.accounts[last]
	s.accounts[a.index].index = a.index
	s.accounts[last] = nil
	s.accounts = s.accounts[:last]
	if n := cap(s.accounts); n > 64 && last < n/4 {
		s.accounts = append(make([]*Account, 0, n/2), s.accounts...)
	}
}

// Loaded does nothing: the store keeps nothing of an account that was not opened.
func (s *Store) Loaded() {}

// Reservations returns how many reservations are outstanding, over all accounts.
func (s *Store) Reservations() int { return int(s.reservationCap.inUse()) }
