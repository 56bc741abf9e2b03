package redis

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what happens between this replica and the server.
type metrics struct {
	failures prometheus.Counter
	denials  prometheus.Counter
	asserted prometheus.Counter
	late     *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		failures: counter("sluice_redis_failures_total",
			"Calls that got no answer from Redis: they were refused with store-unavailable."),
		denials: counter("sluice_redis_remembered_denials_total",
			"Denied checks that were answered without a round trip."),
		asserted: counter("sluice_redis_asserted_total",
			"Calls that Redis was told anew because it may have lost them."),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_redis_late_calls_total",
			Help: "Commits and releases that Redis could not take at once: stored later, or dropped.",
		}, []string{"result"}),
	}
	m.late.WithLabelValues("stored")
	m.late.WithLabelValues("dropped")
	return m
}

func (m *metrics) register(registry *prometheus.Registry, s *Store) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registry.MustRegister(
		m.failures, m.denials, m.asserted, m.late,
		gauge("sluice_redis_available", "1 if Redis can be relied on, so that checks are answered.",
			func() float64 {
				if s.health.up() != nil {
					return 0
				}
				return 1
			}),
		gauge("sluice_redis_late_calls", "Commits and releases that wait until Redis can take them.",
			func() float64 { return float64(s.late.count.Load()) }),
		gauge("sluice_redis_calls_in_flight", "Calls that wait for an answer from Redis.",
			func() float64 { return float64(s.running.Load()) }),
	)
}
