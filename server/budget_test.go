package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// until waits for something that happens soon.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// unfinished sends a batch without its end, and returns a function that sends the end.
func (a *api) unfinished(size int) (finish func() error) {
	a.t.Helper()
	conn := a.dial()
	_, err := fmt.Fprintf(conn, "POST /v1/check HTTP/1.1\r\nHost: sluice\r\n"+
		"Content-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", size, strings.Repeat(" ", size-13))
	if err != nil {
		a.t.Fatal(err)
	}
	return func() error {
		_, err := io.WriteString(conn, `{"checks":[]}`)
		return err
	}
}

const overloadedHint = "Ask again in a second"

// TestUnfinishedBatchesShareABudget wants a batch beyond the budget to be refused, but no small
// batch and no single call. What was acquired must be released.
func TestUnfinishedBatchesShareABudget(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	a.server.SetBudgets(600<<10, 1<<20)
	finish := []func() error{a.unfinished(200 << 10), a.unfinished(200 << 10)}
	until(t, "the bodies are read", func() bool {
		bodies, _ := a.server.InFlight()
		return bodies > 400<<10
	})
	big := request{body: `{"checks":[` + strings.Repeat(" ", 300<<10) + `]}`}
	for _, chunked := range []bool{false, true} {
		big.chunked = chunked
		got := a.call(big.to("/v1/check"))
		got.wantProblem(503, "overloaded", overloadedHint)
		if after := got.header.Get("Retry-After"); after != "1" {
			t.Errorf("Retry-After: %q", after)
		}
	}
	small := request{
		body: `{"checks":[{"namespace":"marketing",` +
			`"name":"newsletter"}]}` + strings.Repeat(" ", 15<<10),
	}
	if got := results(a.call(small.to("/v1/check"))); got != "Allow" {
		t.Errorf("a small batch got %s", got)
	}
	single := request{body: "{" + strings.Repeat(" ", 16<<10-2) + "}"}
	got := into[httpv1.CheckResponse](a.call(single.to("/v1/accounts/marketing/newsletter/check")))
	if got.Decision != httpv1.Allow {
		t.Errorf("a single check got %+v", got)
	}
	for _, f := range finish {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	until(t, "the budget is released", func() bool {
		bodies, responses := a.server.InFlight()
		return bodies == 0 && responses == 0
	})
	if got := a.call(big.to("/v1/check")); got.status != 200 {
		t.Errorf("then got %d %s", got.status, got.body)
	}
}

// TestAnnouncedBytesTakeNoBudget wants bytes that were only announced to cost nothing.
func TestAnnouncedBytesTakeNoBudget(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	const callers = 20
	for range callers {
		conn := a.dial()
		_, err := io.WriteString(conn, "POST /v1/check HTTP/1.1\r\nHost: sluice\r\n"+
			"Content-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"+
			strings.Repeat(" ", 20<<10))
		if err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are read", func() bool {
		bodies, _ := a.server.InFlight()
		return bodies >= callers*(20<<10)
	})
	if bodies, _ := a.server.InFlight(); bodies > 2*callers*(20<<10) {
		t.Errorf("%d bodies of 20 KiB take %d bytes", callers, bodies)
	}
}

// TestResponsesShareABudget is about requests of a few bytes that ask for a large response.
func TestResponsesShareABudget(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for i := range 99 {
		limitertest.Apply(
			t,
			a.limiter,
			limiter.Key{Namespace: "marketing", Name: fmt.Sprint("other-", i)},
			"uid",
			limiter.Policy{},
		)
	}
	a.server.SetBudgets(1<<20, 100<<10)
	batch := func(items int) response {
		return a.batch("/v1/release", `{"releases":[`+strings.Repeat("{},", items-1)+`{}]}`)
	}
	batch(101).wantProblem(503, "overloaded", overloadedHint)
	a.get("/v1/accounts?limit=100").wantProblem(503, "overloaded", overloadedHint)
	if got := batch(100); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := a.get("/v1/accounts?limit=50"); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
	until(t, "the budget is released", func() bool {
		_, responses := a.server.InFlight()
		return responses == 0
	})
}

// TestItemsFitTheirBudget wants no response to be larger than what was acquired for it.
func TestItemsFitTheirBudget(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	limitertest.Apply(t, a.limiter, limiter.Key{Namespace: "marketing", Name: "full"}, "uid",
		limiter.Policy{Limits: limitertest.Limits(1<<30, 1<<30, 1<<30)})
	a.call(request{body: `{"cost":1073741824}`}.to("/v1/accounts/marketing/full/commit"))
	const n = 1000
	longest := strings.Repeat(`\"`, 255)
	for name, item := range map[string]string{
		"allowed": `{"namespace":"marketing","name":"newsletter","id":"` + longest + `"}`,
		"denied":  `{"namespace":"marketing","name":"full"}`,
		"refused": `{"namespace":"marketing",` +
			`"name":"` + strings.Repeat("é", 300) + `","id":"\u0000"}`,
	} {
		got := a.batch("/v1/check", `{"checks":[`+strings.Repeat(item+",", n-1)+item+`]}`)
		if got.status != 200 || len(got.body) > n<<10 {
			t.Errorf("%s: %d, %d bytes", name, got.status, len(got.body))
		}
	}
}
