package bench

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example is a report with something in every field.
func example() *Report {
	p := Percentiles{Count: 1_000_000, P50: 99.5, P90: 250, P99: 1234.5, P999: 56_789,
		Max: 2_345_678.9}
	return &Report{
		URL: "http://localhost:8080", Accounts: 2, Connections: 16, Batch: 1, Rate: 2000.5,
		DurationMillis: 10_003, ChecksPerSecond: 1001, RequestsPerSecond: 1_999_999, Checks: 10_000,
		Requests:  map[string]int64{"check": 10_000, "commit": 8_000, "release": 0},
		Decisions: map[string]int64{"Allow": 8_000, "Defer": 1_999, "Reject": 0},
		Outcomes:  map[string]int64{"Committed": 8_000},
		Problems:  map[string]int64{"not-ready": 1},
		Unsent:    1234, LatencyFrom: Due,
		Latency:   map[string]Percentiles{"check": p, "commit": p, "release": {}},
		TimerLate: Percentiles{Count: 9, P50: 640, P99: 1100},
		Limits: Limits{Windows: 4, Accounts: 2, Fullest: 1.2, Exceeded: []Violation{
			{"n", "a", "minute", 5, Granted, 6}, {"n", "a", "hour", 50, Used, 51},
			{"n", "b", "hour", 50, Forgotten, 50},
		}},
		Notes: []string{"There are only 2 accounts to use, not 100."},
	}
}

func TestText(t *testing.T) {
	const want = `http://localhost:8080: 2 accounts, 16 connections, batch 1, 2000.5 requests/s, 10.003s

throughput   1,001 checks/s   1,999,999 requests/s
requests     check 10,000     commit 8,000   release 0
decisions    Allow 8,000      Defer 1,999    Reject 0
outcomes     Committed 8,000
problems     not-ready 1
unsent       1,234 requests were due and found no free connection: the rate was not reached

latency   p50      p90      p99       p99.9      max
check     100 µs   250 µs   1.23 ms   56.79 ms   2.35 s
commit    100 µs   250 µs   1.23 ms   56.79 ms   2.35 s
This is the time from when a request was due, sent or not, to its answer: the wait for a free connection counts.
What does not count is how late the generator's own timers were: 640 µs at p50, 1.10 ms at p99.

There are only 2 accounts to use, not 100.

LIMITS EXCEEDED
  n/a: 6 were allowed within one minute; the limit is 5
  n/a: the usage at the end is 51 in the hour; the limit is 50
  n/b: 50 were committed, and fewer count in the hour at the end. Did Sluice restart?
`
	var got bytes.Buffer
	if err := example().WriteText(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestJSON: who reads it relies on these names.
func TestJSON(t *testing.T) {
	const percentiles = `{"count":1000000,"p50Micros":99.5,"p90Micros":250,"p99Micros":1234.5,` +
		`"p999Micros":56789,"maxMicros":2345678.9}`
	const want = `{"url":"http://localhost:8080","accounts":2,"connections":16,"batch":1,` +
		`"rate":2000.5,"durationMillis":10003,"checksPerSecond":1001,"requestsPerSecond":1999999,` +
		`"checks":10000,"requests":{"check":10000,"commit":8000,"release":0},` +
		`"decisions":{"Allow":8000,"Defer":1999,"Reject":0},"outcomes":{"Committed":8000},` +
		`"problems":{"not-ready":1},"unsent":1234,` +
		`"latencyFrom":"Due","latency":{"check":` + percentiles + `,"commit":` + percentiles + `,` +
		`"release":{"count":0,"p50Micros":0,"p90Micros":0,"p99Micros":0,"p999Micros":0,"maxMicros":0}},` +
		`"timerLate":{"count":9,"p50Micros":640,"p90Micros":0,"p99Micros":1100,"p999Micros":0,` +
		`"maxMicros":0},` +
		`"limits":{"windows":4,"accounts":2,"fullest":1.2,"exceeded":[` +
		`{"namespace":"n","name":"a","window":"minute","limit":5,"what":"Granted","count":6},` +
		`{"namespace":"n","name":"a","window":"hour","limit":50,"what":"Used","count":51},` +
		`{"namespace":"n","name":"b","window":"hour","limit":50,"what":"Forgotten","count":50}]},` +
		`"notes":["There are only 2 accounts to use, not 100."]}`
	got, err := json.Marshal(example())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
