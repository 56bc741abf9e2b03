package server_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// newsletter is the account of most tests.
var newsletter = limiter.Key{Namespace: "marketing", Name: "newsletter"}

// api is a server over a real limiter, with a client. Every response is checked against
// openapi.yaml.
type api struct {
	t        *testing.T
	limiter  *limiter.Limiter
	registry *prometheus.Registry
	log      chan string // one JSON object per line
	server   *server.Server
	address  string // of the server; empty if it is called without a network
	send     func(request) (*http.Response, error)
}

// setup is what differs between the servers of the tests. Its zero value means a server that has
// loaded its accounts.
type setup struct {
	unloaded        bool
	maxReservations int
	maxInFlight     int
	store           limiter.Store // nil: one in memory
	auth            server.Auth   // nil: everybody may do everything
	operation       string        // the operation that does first, first; it fails if that does
	first           func() error
}

// newAPI starts a server with the newsletter, limited as the policy says, on a real socket.
func newAPI(t *testing.T, p limiter.Policy, s setup) *api {
	t.Helper()
	a, handler := s.build(t, p)
	// The same server and listener that callers meet, with their limits.
	ts := httptest.NewUnstartedServer(nil)
	err := ts.Listener.Close()
	if err != nil {
		t.Fatal(err)
	}
	ts.Config = server.HTTPServer(handler, logr.Discard())
	ts.Listener, err = server.Listen("127.0.0.1:0", server.DefaultMaxConnections, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ts.Start()
	t.Cleanup(ts.Close)
	a.address = ts.Listener.Addr().String()
	client := ts.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	a.send = func(r request) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), r.method, "http://"+a.address,
			r.reader())
		if err != nil {
			return nil, err
		}
		req.URL.Opaque = r.path // sent as it is, whatever it is
		req.Header = r.header
		return client.Do(req)
	}
	return a
}

// newBubble is newAPI without a network, for tests in a synctest bubble: its clock does not advance
// while a goroutine waits for the network.
func newBubble(t *testing.T, p limiter.Policy, s setup) *api {
	t.Helper()
	a, handler := s.build(t, p)
	a.send = func(r request) (*http.Response, error) {
		req := httptest.NewRequestWithContext(t.Context(), r.method, r.path, r.reader())
		req.Header = r.header
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		return w.Result(), nil
	}
	return a
}

// in returns the same server for another test.
func (a *api) in(t *testing.T) *api {
	inner := *a
	inner.t = t
	return &inner
}

func (s setup) build(t *testing.T, p limiter.Policy) (*api, *server.Server) {
	if s.store == nil {
		s.store = memory.New(memory.Options{MaxReservations: s.maxReservations})
	}
	a := &api{
		t: t, limiter: limiter.New(s.store),
		registry: prometheus.NewPedanticRegistry(), log: make(chan string, 1000),
	}
	limitertest.Apply(t, a.limiter, newsletter, "uid-1", p)
	if !s.unloaded {
		a.limiter.MarkLoaded()
	}
	o := server.Options{
		Limiter:  a.limiter,
		Clock:    limiter.StartClock(),
		Auth:     s.auth,
		Registry: a.registry, MaxInFlight: s.maxInFlight,
		Log: funcr.NewJSON(func(line string) { a.log <- line }, funcr.Options{}),
	}
	if s.first != nil {
		a.server = server.NewBefore(o, s.operation, s.first)
	} else {
		a.server = server.New(o)
	}
	return a, a.server
}

// request is a request as it is sent. Most fields have a default; see to.
type request struct {
	method, path, body string
	header             http.Header
	chunked            bool // sent without a Content-Length
	beyondSchema       bool // refused, though a JSON schema cannot say why
}

// to fills in what most requests have: a POST of JSON about the newsletter.
func (r request) to(path string) request {
	if r.path == "" {
		r.path = path
	}
	if r.method == "" {
		r.method = http.MethodPost
	}
	if r.header == nil {
		r.header = http.Header{}
		if r.body != "" {
			r.header.Set("Content-Type", "application/json")
		}
	}
	return r
}

func (r request) reader() io.Reader {
	switch {
	case r.chunked:
		// of a length that net/http cannot see
		return struct{ io.Reader }{strings.NewReader(r.body)}
	case r.body == "":
		return http.NoBody
	default:
		return strings.NewReader(r.body)
	}
}

// response is a response, read to its end.
type response struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// call sends a request, and checks it and the response against the contract.
func (a *api) call(r request) response {
	a.t.Helper()
	resp, err := a.send(r)
	if err != nil {
		a.t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	got := readResponse(a.t, resp)
	contract.hold(a.t, r, got)
	return got
}

// post calls check, commit or release of the newsletter.
func (a *api) post(verb, body string) response {
	a.t.Helper()
	return a.call(request{body: body}.to("/v1/accounts/marketing/newsletter/" + verb))
}

func (a *api) get(path string) response {
	a.t.Helper()
	return a.call(request{method: http.MethodGet}.to(path))
}

// raw sends bytes that net/http's client would not send. It does not check the response against the
// contract: what is not HTTP does not reach the API.
func (a *api) raw(text string) response {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		a.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return readResponse(a.t, resp)
}

// logLine waits for the next line of the log.
func (a *api) logLine() string {
	a.t.Helper()
	select {
	case line := <-a.log:
		return line
	case <-time.After(10 * time.Second): // not a wait, but the end of one that is in vain
		a.t.Fatal("nothing was logged")
		return ""
	}
}

func readResponse(t *testing.T, resp *http.Response) response {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{t, resp.StatusCode, resp.Header, string(body)}
}

// into decodes a 200 into one of the responses of httpv1.
func into[T any](r response) (v T) {
	r.t.Helper()
	if r.status != http.StatusOK {
		r.t.Fatalf("got %d: %s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
	return v
}

// problem decodes the problem of a refused request.
func (r response) problem() (p httpv1.Problem) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		r.t.Fatalf("got %d: %s", r.status, r.body)
	}
	p.Type = strings.TrimPrefix(p.Type, httpv1.ProblemBase)
	return p
}

// wantProblem wants a problem of a kind whose detail contains a hint of what to do.
func (r response) wantProblem(status int, kind, hint string) {
	r.t.Helper()
	p := r.problem()
	if r.status != status || p.Type != kind || !strings.Contains(p.Detail, hint) {
		r.t.Errorf("got %d %s: %q; want %d %s: %q", r.status, p.Type, p.Detail, status, kind, hint)
	}
}
