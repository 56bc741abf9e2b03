package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

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
	// Connection says where the server is.
	Connection Connection
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
	// Wait is what an Allow waits for, besides the server's answer.
	Wait Wait
	// Keeper remembers the epoch of the store outside of it. Nil: the process remembers it alone.
	Keeper Keeper
	// Tell makes an event of what happened. Nil tells nobody.
	Tell func(kind, reason, note string)
	// Registry gets the metrics. Nil: nobody does.
	Registry *prometheus.Registry
	// Log is told what operators should know. The zero value is silent.
	Log logr.Logger
	// TimeOfCalls takes the time from the calls instead of the server: for tests. All replicas of a
	// store must agree.
	TimeOfCalls bool
	// Failed is told why a call is answered with [limiter.ErrStoreUnavailable]: for tests. Nil tells
	// nobody.
	Failed func(error)
}

// Store is a [limiter.Store] on a Redis or Valkey that other replicas may use, too. Make one with
// [Open], and call [Store.Run].
type Store struct {
	options Options
	link    link
	health  health
	clock   clock
	epochs  *epochs
	recent  recent
	telling telling
	beats   beats
	late    lateCalls
	waiter  *waiter // nil: an Allow waits for nothing
	metrics *metrics
	held    held
	lives   lives
	denials denials
	lineage atomic.Uint32 // counts how often the server lost something and was told anew
	latest  atomic.Int64  // the latest Instant of a call, with TimeOfCalls
	running atomic.Int64  // calls

	mu       sync.Mutex
	accounts map[*account]struct{} // those with reservations, as far as this replica knows
}

var _ limiter.BatchStore = (*Store)(nil)

// Open returns a Store. It asks nothing of the server, which need not be there yet. The error is of
// a URL that is none, or of a file that cannot be read.
func Open(o Options) (*Store, error) { return open(o, !o.TimeOfCalls) }

func open(o Options, denials bool) (*Store, error) {
	options, err := o.Connection.options()
	if err != nil {
		return nil, err
	}
	s := newStore(o)
	s.recent.on, s.denials.on = true, denials
	s.link.options = s.watched(options)
	if o.Wait.any() {
		s.waiter = newWaiter(o.Wait, s.options.Timeout)
	}
	return s, nil
}

func newStore(o Options) *Store {
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
	if o.Tell == nil {
		o.Tell = func(_, _, _ string) {}
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	s := &Store{
		options: o, held: held{max: int64(o.MaxReservations)}, accounts: map[*account]struct{}{},
		epochs: newEpochs(o.Prefix, o.Keeper), health: newHealth(), telling: newTelling(o.Prefix),
		beats: beats{key: o.Prefix + ":{sluice}:beats"},
		clock: clock{start: time.Now()}, metrics: newMetrics(),
	}
	s.late.wake = make(chan struct{}, 1)
	s.denials.accounts = map[string]*account{}
	if o.Registry != nil {
		s.metrics.register(o.Registry, s)
	}
	return s
}

// Open implements [limiter.Store]. All keys of a namespace have one hash tag, so that they are on
// one node of a cluster. Names of Kubernetes have neither colons nor braces.
func (s *Store) Open(key limiter.Key, uid string) limiter.Account {
	space := s.options.Prefix + ":{" + key.Namespace + "}:"
	base := space + key.Name + ":" + uid
	a := &account{
		when: -keepFor, store: s, namespace: key.Namespace, base: base,
		keys: [keys]string{base, base + ":s", base + ":o", base + ":e", space + "epoch"},
	}
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
