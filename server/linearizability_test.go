package server_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// Linearizability: callers who call at the same time get the responses that they would get if they
// called one after the other, in some order. In this order, a call that began after the response to
// another one comes after it. The tests record histories through the real handler, and porcupine
// looks for such an order.

var (
	proveHistories = flag.Int("prove.histories", 2000,
		"how many random histories to check for linearizability")
	proveSeed = flag.Uint64("prove.seed", 0,
		"the seed of the first of them (0: a random one); each has the next")
)

const (
	accounts = 2 // few, so that they are hot
	callers  = 5
	calls    = 16 // of each
)

// TestHistoriesAreLinearizable plays programs that are drawn from a seed. The seed does not decide
// how the calls interleave: a seed that failed may have to be played often to fail again.
func TestHistoriesAreLinearizable(t *testing.T) {
	seed := *proveSeed
	if seed == 0 {
		seed = rand.Uint64()>>1 + 1
	}
	checked := 0
	for i := range uint64(*proveHistories) {
		history := record(t, program(rand.New(rand.NewPCG(seed+i, 0))))
		if !porcupine.CheckOperations(sequential, history) {
			t.Fatalf("no order explains this; to play it again: "+
				"-run=%s -prove.seed=%d -prove.histories=1 -count=1000\n%s",
				t.Name(), seed+i, unexplained(history))
		}
		checked += len(history)
	}
	t.Logf("%d histories from seed %d on, of %d calls, are linearizable", *proveHistories, seed,
		checked)
}

// program lists the calls of each caller. The first caller changes limits, and creates and deletes
// accounts.
func program(r *rand.Rand) [][]call {
	all := make([][]call, 1+callers)
	for range calls / 2 {
		n := r.IntN(accounts)
		if r.IntN(8) == 0 {
			all[0] = append(all[0], call{account: n, verb: "purge"})
		}
		all[0] = append(all[0], call{account: n, verb: "apply", policy: drawPolicy(r)})
	}
	for n := 1; n < len(all); n++ {
		for range calls {
			verb := []string{
				"check", "check", "check", "commit", "commit", "release", "usage",
			}[r.IntN(7)]
			c := call{account: r.IntN(accounts), verb: verb}
			if r.IntN(3) > 0 {
				c.id = string(rune('a' + r.IntN(26)))
			}
			if verb != "release" && r.IntN(2) == 0 {
				c.cost = 1 + r.Int64N(3)
			}
			all[n] = append(all[n], c)
		}
	}
	return all
}

func drawPolicy(r *rand.Rand) limiter.Policy {
	p := limiter.Policy{Behavior: limiter.Behavior(r.IntN(2)), Suspended: r.IntN(10) == 0}
	for w := limiter.Minute; w <= limiter.Day; w++ {
		p.Limits[limiter.Cost][w] = r.Int64N(40)
	}
	return p
}

// record plays a program, all callers at once, and returns the responses and their times.
func record(t *testing.T, program [][]call) (history []porcupine.Operation) {
	l := limiter.New(memory.New(memory.Options{}))
	l.MarkLoaded()
	handler := server.New(server.Options{Limiter: l})
	var setup []*pending
	for n := range accounts {
		setup = append(setup,
			prepare(t, l, handler, 0, call{
				account: n, verb: "apply",
				policy: limiter.Policy{Limits: limitertest.Limits(5, 10, 20)},
			}))
	}
	parts := [][]*pending{setup}
	for n, calls := range program {
		var part []*pending
		for _, c := range calls {
			part = append(part, prepare(t, l, handler, n, c))
		}
		parts = append(parts, part)
	}
	start := time.Now()
	run(setup, start)
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for _, part := range parts[1:] {
		wg.Go(func() {
			<-gate
			run(part, start)
		})
	}
	close(gate)
	wg.Wait()
	for _, p := range slices.Concat(parts...) {
		p.Output = modelOf(t, p.Input.(call).verb, p.recorder)
		history = append(history, p.Operation)
	}
	return history
}

// pending is a call that is prepared, so that nothing but calls happens while callers compete.
type pending struct {
	porcupine.Operation
	recorder *httptest.ResponseRecorder
	do       func()
}

func prepare(t *testing.T, l *limiter.Limiter, handler http.Handler, client int, c call) *pending {
	key := limiter.Key{Namespace: "n", Name: fmt.Sprint("account-", c.account)}
	p := &pending{
		Operation: porcupine.Operation{ClientId: client, Input: c},
		recorder:  httptest.NewRecorder(),
	}
	switch c.verb {
	case "apply":
		p.do = func() { limitertest.Apply(t, l, key, "uid", c.policy) }
	case "purge":
		p.do = func() { limitertest.Purge(t, l, key) }
	default:
		r := c.request(key)
		p.do = func() { handler.ServeHTTP(p.recorder, r) }
	}
	return p
}

// run makes calls, and notes when each began and ended.
func run(calls []*pending, start time.Time) {
	for _, p := range calls {
		p.Call = int64(time.Since(start))
		p.do()
		p.Return = int64(time.Since(start))
		runtime.Gosched() // there may be fewer cores than callers
	}
}

// request returns the HTTP request of a call. A slot is held longer than any history lasts.
func (c call) request(k limiter.Key) *http.Request {
	var id *string
	var cost *int64
	if c.id != "" {
		id = &c.id
	}
	if c.cost != 0 {
		cost = &c.cost
	}
	var body any
	method, path := http.MethodPost, "/v1/accounts/"+k.Namespace+"/"+k.Name+"/"+c.verb
	switch c.verb {
	case "check":
		body = httpv1.CheckRequest{ID: id, Cost: cost, TTLSeconds: new(int64(httpv1.MaxTTLSeconds))}
	case "commit":
		body = httpv1.CommitRequest{Reservation: id, Cost: cost}
	case "release":
		body = httpv1.ReleaseRequest{Reservation: id}
	case "usage":
		method, path = http.MethodGet, strings.TrimSuffix(path, "/usage")
	}
	content, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(content))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// modelOf turns a response into one of the model.
func modelOf(t *testing.T, verb string, w *httptest.ResponseRecorder) modelResponse {
	got := response{t, w.Code, w.Header(), w.Body.String()}
	switch {
	case verb == "apply" || verb == "purge":
		return modelResponse{}
	case got.status != http.StatusOK:
		return modelResponse{status: got.status, kind: got.problem().Type}
	case verb == "check":
		return modelOfCheck(into[httpv1.CheckResponse](got))
	case verb == "usage":
		return modelOfUsage(into[httpv1.Usage](got))
	}
	return modelResponse{status: got.status, outcome: into[httpv1.CommitResponse](got).Outcome}
}

func modelOfCheck(d httpv1.CheckResponse) modelResponse {
	a := modelResponse{
		status: http.StatusOK, decision: d.Decision, reason: d.Reason,
		waits: d.DeferredUntil != nil && d.RetryAfterMillis != nil,
	}
	if d.Remaining != nil {
		a.remaining, a.limited = *d.Remaining, true
	}
	if d.Reservation != nil {
		a.id, a.cost = d.Reservation.ID, d.Reservation.Cost
	}
	for _, w := range d.Exhausted {
		a.windows[place(w.Window)] = modelWindow{
			listed: true, waits: !w.FreeAt.IsZero(), limit: w.Limit, used: w.Used,
			inFlight: w.InFlight,
		}
	}
	return a
}

func modelOfUsage(u httpv1.Usage) modelResponse {
	a := modelResponse{
		status: http.StatusOK, decision: u.Behavior, suspended: u.Suspended, inFlight: u.InFlight,
		waits: u.NextSlot != nil,
	}
	for _, w := range u.Windows {
		window := modelWindow{listed: true, waits: w.FreeAt != nil, used: w.Used}
		if w.Limit != nil && w.Remaining != nil {
			window.limit, window.remaining = *w.Limit, *w.Remaining
		}
		a.windows[place(w.Window)] = window
	}
	return a
}

// place returns the index of a window.
func place(window string) int { return slices.Index([]string{"minute", "hour", "day"}, window) }

// unexplained prints the accounts whose calls have no order, by when they began.
func unexplained(history []porcupine.Operation) string {
	var b strings.Builder
	for _, part := range sequential.Partition(history) {
		if porcupine.CheckOperations(sequential, part) {
			continue
		}
		slices.SortFunc(part, func(a, b porcupine.Operation) int {
			return cmp.Compare(a.Call, b.Call)
		})
		for _, o := range part {
			fmt.Fprintf(&b, "%9d to %9d ns, caller %d: %v -> %v\n", o.Call, o.Return, o.ClientId,
				o.Input, o.Output)
		}
	}
	return b.String()
}
