package kubeauth

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The reasons for which a token is refused without a review.
const (
	reasonMalformed = "malformed"
	reasonAudience  = "audience"
	reasonExpired   = "expired"
	reasonForged    = "forged"
)

// metrics are what an Auth counts. No label is a name that a caller has chosen.
type metrics struct {
	tokens, rights reviewMetrics
	refusals       *prometheus.CounterVec
	vectors        []prometheus.Collector
}

// reviewMetrics are those of one kind of review: of tokens, or of access.
type reviewMetrics struct {
	allowed, denied, unavailable prometheus.Counter
	duration                     prometheus.Observer
	hits, misses                 prometheus.Counter
	stale, shed                  prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "sluice_auth_" + name, Help: help}, labels)
	}
	reviews := counter("reviews_total", "Reviews that the API server of Kubernetes was asked for, "+
		"by kind (token or access) and result (allowed, denied or unavailable).", "kind", "result")
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sluice_auth_review_duration_seconds",
		Help:    "Time that the API server took for a review, by kind.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},

		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"kind"})
	lookups := counter("cache_lookups_total", "Questions by kind, and whether what is remembered "+
		"answered them (hit) or not (miss).", "kind", "result")
	stale := counter("stale_total", "Answers that were used for longer than usual, because the "+
		"API server was unavailable, by kind.", "kind")
	shed := counter("shed_total", "Reviews that were not made because too many waited, by kind.",
		"kind")
	m := &metrics{refusals: counter("refused_tokens_total", "Tokens that were refused without a "+
		"review, by reason. One that is refused again within 10 s is counted as a hit.", "reason")}
	m.vectors = []prometheus.Collector{reviews, durations, lookups, stale, shed, m.refusals}
	of := func(kind string) reviewMetrics {
		return reviewMetrics{
			allowed:     reviews.WithLabelValues(kind, "allowed"),
			denied:      reviews.WithLabelValues(kind, "denied"),
			unavailable: reviews.WithLabelValues(kind, "unavailable"),
			duration:    durations.WithLabelValues(kind),
			hits:        lookups.WithLabelValues(kind, "hit"),
			misses:      lookups.WithLabelValues(kind, "miss"),
			stale:       stale.WithLabelValues(kind),
			shed:        shed.WithLabelValues(kind),
		}
	}
	m.tokens, m.rights = of("token"), of("access")
	for _, reason := range []string{
		reasonMalformed, reasonAudience, reasonExpired, reasonForged,
	} {
		m.refusals.WithLabelValues(reason)
	}
	return m
}

// register registers the metrics, and those that are read from an Auth.
func (m *metrics) register(r prometheus.Registerer, a *Auth) {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "sluice_auth_" + name, Help: help}, read)
	}
	available := func(b *breaker) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_auth_available",
			Help: "1 if the API server answers reviews of a kind. " +
				"0: what it said before is used, and what it did not say gets a 503.",
			ConstLabels: prometheus.Labels{"kind": b.kind},
		}, func() float64 {
			if b.answers() {
				return 1
			}
			return 0
		})
	}
	r.MustRegister(m.vectors...)
	r.MustRegister(available(a.api.tokens.breaker), available(a.api.rights.breaker),
		gauge("remembered_tokens", "Tokens that are remembered, good and refused.",
			func() float64 { return float64(a.tokens.size()) }),
		gauge("remembered_rights_bytes", "What is remembered of rights, in bytes, about.",
			func() float64 { return float64(a.subjects.bytes.Load()) }),
		gauge("subjects", "ServiceAccounts whose rights are remembered.",
			func() float64 { return float64(a.subjects.len()) }),
		gauge("keys", "Keys of the cluster that tokens are verified with before a review.",
			func() float64 { return float64(a.keys.size()) }))
}

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// observe counts a review.
func (m *reviewMetrics) observe(took time.Duration, allowed bool, err error) {
	m.duration.Observe(took.Seconds())
	switch {
	case err != nil:
		m.unavailable.Inc()
	case allowed:
		m.allowed.Inc()
	default:
		m.denied.Inc()
	}
}
