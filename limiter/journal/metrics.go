package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what happens to the journal.
type metrics struct {
	commits     prometheus.Histogram
	records     prometheus.Counter
	bytes       prometheus.Counter
	snapshots   prometheus.Histogram
	away        prometheus.Gauge
	assumptions *prometheus.GaugeVec
}

// newMetrics registers the metrics, unless there is no registry.
func newMetrics(registry prometheus.Registerer, s *Store) *metrics {
	m := &metrics{
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_journal_commit_duration_seconds",
			Help: "How long it took to write the records that came together, and to sync them.",
			Buckets: []float64{
				.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5,
			},
			NativeHistogramBucketFactor: 1.1,
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_journal_records_total", Help: "Records written to the journal.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_journal_written_bytes_total",
			Help: "Bytes of records written to the journal, without snapshots.",
		}),
		snapshots: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sluice_journal_snapshot_duration_seconds",
			Help:    "How long it took to take a snapshot, and to drop what it replaced.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60},
		}),
		away: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sluice_journal_away_seconds",
			Help: "How much time counts as passed between the process before and this one.",
		}),
		assumptions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sluice_journal_clock_assumption",
			Help: "1 for how that time is known: FirstStart, SameBoot, WallClock or NoTime.",
		}, []string{"assumption"}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	if registry == nil {
		return m
	}
	registry.MustRegister(
		m.commits, m.records, m.bytes, m.snapshots, m.away, m.assumptions,
		gauge("sluice_journal_log_bytes", "Bytes of the log since the newest snapshot.",
			func() float64 { return float64(s.logBytes.Load()) }),
		gauge("sluice_journal_snapshot_bytes", "Bytes of the newest snapshot.",
			func() float64 { return float64(s.snapshotBytes.Load()) }),
		gauge("sluice_journal_backlog_bytes", "Bytes of records that are not on the disk yet.",
			func() float64 { return float64(s.log.backlog.Load()) }),
		gauge("sluice_journal_available", "1 if the journal can be written, and in time.",
			func() float64 {
				if s.admits() != nil {
					return 0
				}
				return 1
			}),
	)
	return m
}

func (m *metrics) commit(took time.Duration, bytes int, records uint64) {
	m.commits.Observe(took.Seconds())
	m.bytes.Add(float64(bytes))
	m.records.Add(float64(records))
}

func (m *metrics) snapshot(took time.Duration) { m.snapshots.Observe(took.Seconds()) }

func (m *metrics) found(f Found) {
	m.away.Set(f.Away.Seconds())
	m.assume(f.Assumption)
}

// assume says how the time is known that passed before this process.
func (m *metrics) assume(assumption Assumption) {
	for _, a := range []Assumption{FirstStart, SameBoot, WallClock, NoTime} {
		value := 0.0
		if a == assumption {
			value = 1
		}
		m.assumptions.WithLabelValues(string(a)).Set(value)
	}
}
