package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// metrics are what the server counts. No label is the name of an account: there may be 100,000.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	decisions [4]prometheus.Counter // by verdict
	suspended [4]prometheus.Counter // by verdict
	outcomes  [len(outcomes)]prometheus.Counter
	items     *prometheus.CounterVec
}

// durationBuckets are in seconds.
var durationBuckets = []float64{
	.00001, .000025, .00005, .0001, .00025, .0005, .001, .005, .025, .1, .5, 1, 5,
}

func newMetrics(registry prometheus.Registerer, l *limiter.Limiter) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_http_requests_total",
			Help: "Requests to the HTTP API, by operation and status code.",
		}, []string{"operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_http_request_duration_seconds",
			Help: "Time to answer a request, by operation.",

			Buckets:                         durationBuckets,
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"operation"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_batch_problems_total",
			Help: "Items of batches that were refused, by operation and type of problem. " +
				"Their requests count as 200.",
		}, []string{"operation", "problem"}),
	}
	decisions, ends := m.countDecisions(), m.countOutcomes()
	if registry != nil {
		registry.MustRegister(m.requests, m.durations, decisions, ends, m.items,
			gauge("sluice_accounts", "Accounts whose limits are loaded.",
				func() int { return l.Stats().Accounts }),
			gauge("sluice_reservations", "Outstanding reservations of all accounts.",
				func() int { return l.Stats().Reservations }))
	}
	return m
}

// countDecisions makes the counters of decisions.
func (m *metrics) countDecisions() prometheus.Collector {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_decisions_total",
		Help: "Decisions of checks. " +
			"The reason is Limit or Suspended for a denial, empty otherwise.",
	}, []string{"decision", "reason"})
	m.decisions[limiter.Allowed] = all.WithLabelValues(httpv1.Allow, "")
	for _, v := range []limiter.Verdict{limiter.Deferred, limiter.Rejected} {
		m.decisions[v] = all.WithLabelValues(verdicts[v], "Limit")
		m.suspended[v] = all.WithLabelValues(verdicts[v], httpv1.ReasonSuspended)
	}
	return all
}

// countOutcomes makes the counters of outcomes.
func (m *metrics) countOutcomes() prometheus.Collector {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_outcomes_total",
		Help: "Outcomes of commits and releases. " +
			"Late and Unreserved tell of callers that lose track.",
	}, []string{"outcome"})
	for o := limiter.Committed; int(o) < len(outcomes); o++ {
		m.outcomes[o] = all.WithLabelValues(outcomes[o])
	}
	return all
}

func gauge(name, help string, read func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
		func() float64 { return float64(read()) })
}

func (m *metrics) decided(d *limiter.Decision) {
	if d.Suspended {
		m.suspended[d.Verdict].Inc()
		return
	}
	m.decisions[d.Verdict].Inc()
}

func (m *metrics) ended(o limiter.Outcome) { m.outcomes[o].Inc() }

func (m *metrics) itemFailed(operation string, p *httpv1.Problem) {
	m.items.WithLabelValues(operation, strings.TrimPrefix(p.Type, httpv1.ProblemBase)).Inc()
}

// operationMetrics are the metrics of one operation, looked up once.
type operationMetrics struct {
	requests *prometheus.CounterVec
	ok       prometheus.Counter
	duration prometheus.Observer
}

func (m *metrics) of(operation string) operationMetrics {
	requests := m.requests.MustCurryWith(prometheus.Labels{"operation": operation})
	return operationMetrics{
		requests: requests,
		ok:       requests.WithLabelValues("200"),
		duration: m.durations.WithLabelValues(operation),
	}
}

func (m operationMetrics) observe(status int, took time.Duration) {
	if status == 200 {
		m.ok.Inc()
	} else {
		m.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	m.duration.Observe(took.Seconds())
}
