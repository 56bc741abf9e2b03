package server

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultMaxInFlight is how many checks are worked on at a time if the configuration does not say.
const DefaultMaxInFlight = 1024

const (
	// readsOf is how many checks there may be in flight for one request that reads usage, and
	// listWeight for how many of those a list counts.
	readsOf    = 16
	listWeight = 16
	// runnablePerCore is how many requests may wait for a core, for each core, when one more check
	// is admitted under overload.
	runnablePerCore = 48
	// refusalsPerCore is how many refusals are answered in a second, for each core, after those of
	// refusalBurst, which are answered at once. Others are held, but no longer than maxHold: to be
	// refused costs nearly as much as a check, and who waits for an answer does not ask again.
	refusalsPerCore = 2000
	refusalBurst    = 50 * time.Millisecond
	maxHold         = 2 * time.Second
)

// poolName is the name of a pool. The empty one is no pool.
type poolName string

// Requests of one pool do not take the room of those of another.
const (
	checkPool poolName = "check" // checks, and batches of them
	endPool   poolName = "end"   // commits and releases, and batches of them
	readPool  poolName = "read"  // usage, and lists of it
)

// admission decides whether a request is worked on now, or refused because there are too many. See
// docs/design/0025-overload.md.
type admission struct {
	pools map[poolName]*pool
	// runnable counts the requests that were admitted and have not got a core since.
	runnable    atomic.Int64
	maxRunnable int64
	bursts      bursts
	refusals    pacer
	// idle is sent to when no request waits for a core: a refusal that is held is answered then.
	idle chan struct{}
}

// pool limits how many requests are worked on at a time.
type pool struct {
	name     poolName
	of       *admission
	limit    int64
	inFlight atomic.Int64
	shed     prometheus.Counter
}

// newAdmission returns pools for so many checks, as many commits and releases, and fewer reads.
func newAdmission(maxInFlight int, m *admissionMetrics) *admission {
	cores := runtime.GOMAXPROCS(0)
	a := &admission{
		pools:       map[poolName]*pool{},
		bursts:      newBursts(cores),
		idle:        make(chan struct{}),
		maxRunnable: int64(runnablePerCore * cores),
		refusals: pacer{
			start: time.Now(), interval: time.Second / time.Duration(refusalsPerCore*cores),
		},
	}
	for name, limit := range map[poolName]int{
		checkPool: maxInFlight, endPool: maxInFlight, readPool: max(1, maxInFlight/readsOf),
	} {
		p := &pool{name: name, of: a, limit: int64(limit)}
		p.shed = m.add(p)
		a.pools[name] = p
	}
	return a
}

// full reports whether a request would be refused. Checks also are where requests keep waiting for
// a core: a store in memory holds none of them up, so that otherwise none would be in flight.
func (p *pool) full(weight int64) bool {
	return p.inFlight.Load()+weight > p.limit || p.isCrowded() && !p.of.bursts.hasRoom()
}

// isCrowded reports whether one more check would be admitted for a burst alone.
func (p *pool) isCrowded() bool {
	return p.name == checkPool && p.of.runnable.Load() >= p.of.maxRunnable
}

// acquire takes a place in the pool, or reports that there is none. It yields, so that all requests
// that have arrived are counted before one of them is worked on.
func (p *pool) acquire(weight int64) bool {
	if p.isCrowded() && !p.of.bursts.admit() {
		return false
	}
	if p.inFlight.Add(weight) > p.limit {
		p.inFlight.Add(-weight)
		return false
	}
	p.of.runnable.Add(1)
	runtime.Gosched()
	p.of.runnable.Add(-1)
	return true
}

// release gives the place back. If no request waits for a core, the refusal that was held for the
// longest time is answered.
func (p *pool) release(weight int64) {
	p.inFlight.Add(-weight)
	if p.of.runnable.Load() > 0 {
		return
	}
	select {
	case p.of.idle <- struct{}{}:
	default:
	}
}

// errInFlight is the refusal of a request for which its pool has no place.
var errInFlight = errors.New("too many requests are in flight")

// refuse counts a refusal, and holds it where there are many of them.
func (p *pool) refuse(ctx context.Context) error {
	p.shed.Inc()
	hold := p.of.refusals.next()
	if hold == 0 {
		return errInFlight
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case <-p.of.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	return errInFlight
}

// pacer spaces out what happens at most once in an interval, after a burst. It is a GCRA.
type pacer struct {
	start    time.Time
	interval time.Duration
	nextAt   atomic.Int64 // since start
}

// next returns how long the next one has to wait, at most maxHold.
func (p *pacer) next() time.Duration {
	now := int64(time.Since(p.start))
	for {
		at := p.nextAt.Load()
		slot := max(now, at)
		wait := time.Duration(slot-now) - refusalBurst
		if wait > maxHold {
			return maxHold
		}
		if p.nextAt.CompareAndSwap(at, slot+int64(p.interval)) {
			return max(0, wait)
		}
	}
}

// admissionMetrics are what is counted of the pools.
type admissionMetrics struct {
	shed     *prometheus.CounterVec
	registry prometheus.Registerer // may be nil
}

func newAdmissionMetrics(registry prometheus.Registerer) *admissionMetrics {
	m := &admissionMetrics{registry: registry, shed: prometheus.NewCounterVec(
		prometheus.CounterOpts{
			Name: "sluice_http_shed_total",
			Help: "Requests that were refused because too many were in flight, by pool.",
		}, []string{"pool"})}
	if registry != nil {
		registry.MustRegister(m.shed)
	}
	return m
}

// add makes the metrics of a pool.
func (m *admissionMetrics) add(p *pool) (shed prometheus.Counter) {
	if m.registry != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "sluice_http_in_flight",
			Help:        "Requests that are being worked on, by pool.",
			ConstLabels: prometheus.Labels{"pool": string(p.name)},
		}, func() float64 { return float64(p.inFlight.Load()) }))
	}
	return m.shed.WithLabelValues(string(p.name))
}

// enter takes a place for a request that waits for nothing more. For one that does, it only looks
// whether there is one: the place is taken when the body or the right is there, so that slow bodies
// and slow reviews keep none from others.
func (q *request) enter(waits bool) error {
	switch {
	case q.pool == nil:
		return nil
	case !waits:
		return q.admit()
	case q.pool.full(q.weight()):
		return q.pool.refuse(q.http.Context())
	}
	return nil
}

// admit takes a place for a request, which leave gives back.
func (q *request) admit() error {
	switch {
	case q.pool == nil || q.admitted:
		return nil
	case !q.pool.acquire(q.weight()):
		return q.pool.refuse(q.http.Context())
	}
	q.admitted = true
	return nil
}

// leave gives back the place of a request, if it has one.
func (q *request) leave() {
	if q.admitted {
		q.pool.release(q.weight())
		q.admitted = false
	}
}

// weight is how much of its pool a request takes. A list of accounts costs much more than the usage
// of one.
func (q *request) weight() int64 {
	if q.pool.name == readPool && q.large {
		return min(q.pool.limit, listWeight)
	}
	return 1
}
