package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// Defaults of [Options].
const (
	DefaultTimeout         = 300 * time.Millisecond
	DefaultPrefix          = "sl"
	DefaultMaxReservations = 1_000_000
	minPerAccount          = 1000
)

// Options are those of a [Store]. The zero value is the default.
type Options struct {
	// Timeout bounds each call, also where its context does not. 0 is [DefaultTimeout].
	Timeout time.Duration
	// Prefix begins the name of every key. Empty is [DefaultPrefix].
	Prefix string
	// MaxReservations is how many reservations may be outstanding at a time, over all accounts, as
	// far as this replica knows: each learns from its own calls. 0 or less is
	// [DefaultMaxReservations].
	MaxReservations int
	// MaxReservationsPerAccount is how many of them one account may hold, whoever granted them. 0
	// or less is a quarter of MaxReservations, and at least 1,000.
	MaxReservationsPerAccount int
	// TimeOfCalls takes the time from the calls instead of the server: for tests. All replicas of a
	// store must agree.
	TimeOfCalls bool
	// Failed is told why a call is answered with [limiter.ErrStoreUnavailable]. Nil tells nobody.
	Failed func(error)
}

// Store is a [limiter.Store] on a Redis or Valkey that other replicas may use, too. Make one with
// [New].
type Store struct {
	client  valkey.Client
	options Options
	held    held
	lives   lives
	latest  atomic.Int64 // the latest Instant of a call, with TimeOfCalls

	mu       sync.Mutex
	accounts map[*account]struct{} // those with reservations, as far as this replica knows
}

var _ limiter.BatchStore = (*Store)(nil)

// New returns a Store that uses a client, which the caller closes. It asks nothing of the server.
func New(client valkey.Client, o Options) *Store {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.MaxReservations <= 0 {
		o.MaxReservations = DefaultMaxReservations
	}
	if o.MaxReservationsPerAccount <= 0 {
		o.MaxReservationsPerAccount = max(minPerAccount, o.MaxReservations/4)
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return &Store{
		client: client, options: o, held: held{max: int64(o.MaxReservations)},
		accounts: map[*account]struct{}{},
	}
}

// Open implements [limiter.Store]. All keys of a namespace have one hash tag, so that they are on
// one node of a cluster. Names of Kubernetes have neither colons nor braces.
func (s *Store) Open(key limiter.Key, uid string) limiter.Account {
	base := s.options.Prefix + ":{" + key.Namespace + "}:" + key.Name + ":" + uid
	a := &account{store: s, base: base, keys: [4]string{base, base + ":s", base + ":o", base + ":e"}}
	a.life.Store(s.lives.next(base))
	return a
}

// Loaded does nothing: keys of an account that nobody uses expire by themselves, and another life
// of an account has other keys.
func (s *Store) Loaded() {}

// Reservations returns how many reservations are outstanding over all accounts, as far as this
// replica knows.
func (s *Store) Reservations() int { return int(s.held.count.Load()) }

// Sweep brings the accounts to the present that have outstanding reservations, as far as this
// replica knows, so that it learns what became of them. No decision depends on it.
func (s *Store) Sweep(now limiter.Instant) {
	s.see(now)
	s.mu.Lock()
	accounts := make([]*account, 0, len(s.accounts))
	for a := range s.accounts {
		accounts = append(accounts, a)
	}
	s.mu.Unlock()
	var none limiter.CurrentPolicy
	none.Store(&limiter.Policy{})
	for _, a := range accounts {
		_, _ = a.Usage(context.Background(), now, &none)
	}
}

// Expire is Sweep: what is outstanding is what may fall due.
func (s *Store) Expire(now limiter.Instant) { s.Sweep(now) }

// see notes an Instant of a call.
func (s *Store) see(now limiter.Instant) {
	for s.options.TimeOfCalls {
		latest := s.latest.Load()
		if now.Mono <= latest || s.latest.CompareAndSwap(latest, now.Mono) {
			return
		}
	}
}
