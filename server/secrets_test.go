package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// secrets are what callers may put into the wrong place.
var secrets = map[string]string{
	"a token":        "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJzZW5kZXIifQ.c2lnbmF0dXJl",
	"an id":          "Message-ID_x0815y.z4711q:17",
	"a mail address": "joseph.doeman@example.com",
}

// places are requests with %[1]s where a secret is, and %[2]s where it is escaped for a URL. None
// is answered with a reservation, which has its id.
var places = map[string]string{
	"an unknown path":        "GET /v1/%[2]s HTTP/1.1\r\n\r\n",
	"an escaped path":        "GET /v1%%2F%[2]s HTTP/1.1\r\n\r\n",
	"an absolute URL":        "GET http://%[2]s/v2 HTTP/1.1\r\n\r\n",
	"user and password":      "GET http://%[2]s:%[2]s@sluice/v2 HTTP/1.1\r\n\r\n",
	"a namespace":            "POST /v1/accounts/%[2]s/newsletter/check HTTP/1.1\r\n\r\n",
	"a name":                 "POST /v1/accounts/marketing/%[2]s/check HTTP/1.1\r\n\r\n",
	"a verb":                 "POST /v1/accounts/marketing/newsletter/%[2]s HTTP/1.1\r\n\r\n",
	"a parameter":            "POST " + checkPath + "?%[2]s=1 HTTP/1.1\r\n\r\n",
	"a parameter's value":    "POST " + checkPath + "?token=%[2]s HTTP/1.1\r\n\r\n",
	"a parameter twice":      "GET /v1/accounts?%[2]s&%[2]s HTTP/1.1\r\n\r\n",
	"a namespace to list":    "GET /v1/accounts?namespace=%[2]s&limit=0 HTTP/1.1\r\n\r\n",
	"a limit":                "GET /v1/accounts?limit=%[2]s HTTP/1.1\r\n\r\n",
	"a continue":             "GET /v1/accounts?continue=%[2]s HTTP/1.1\r\n\r\n",
	"a broken escape":        "GET /v1/accounts?%%%[1]s HTTP/1.1\r\n\r\n",
	"a method":               "%[1]s " + checkPath + " HTTP/1.1\r\n\r\n",
	"a version":              "GET / HTTP/%[1]s\r\n\r\n",
	"a host":                 "GET /v2 HTTP/1.1\r\nHost: %[1]s\r\n\r\n",
	"a user agent":           "GET /v2 HTTP/1.1\r\nUser-Agent: %[1]s\r\n\r\n",
	"a user agent's note":    "GET /v2 HTTP/1.1\r\nUser-Agent: mailer/1.0 (%[1]s)\r\n\r\n",
	"a user agent's version": "GET /v2 HTTP/1.1\r\nUser-Agent: mailer/%[1]s\r\n\r\n",
	"a bearer token":         "GET /v2 HTTP/1.1\r\nAuthorization: Bearer %[1]s\r\n\r\n",
	"a cookie":               "GET /v2 HTTP/1.1\r\nCookie: %[1]s=%[1]s\r\n\r\n",
	"a header's name":        "GET /v2 HTTP/1.1\r\n%[1]s: 1\r\n\r\n",
	"a header that is none":  "GET /v2 HTTP/1.1\r\n%[1]s\r\n\r\n",
	"a length":               "POST " + checkPath + " HTTP/1.1\r\nContent-Length: %[1]s\r\n\r\n",
	"an expectation":         "POST " + checkPath + " HTTP/1.1\r\nExpect: %[1]s\r\n\r\n",
	"a transfer encoding": "POST " + checkPath + " HTTP/1.1\r\n" +
		"Transfer-Encoding: %[1]s\r\n\r\n",
	"a chunk": "POST " + checkPath + " HTTP/1.1\r\nContent-Type: application/json\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n%[1]s\r\n",
	"a trailer": "POST " + checkPath + " HTTP/1.1\r\nContent-Type: application/json\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n%[1]s\r\n\r\n",
	"a media type":            withBody(checkPath, "text/%[1]s", "{}"),
	"a parameter of it":       withBody(checkPath, "text/html; a=%[1]s", "{}"),
	"no JSON":                 withJSON(checkPath, "%[1]s"),
	"a string":                withJSON(checkPath, `"%[1]s"`),
	"a field":                 withJSON(checkPath, `{"%[1]s":1}`),
	"a cost":                  withJSON(checkPath, `{"cost":"%[1]s"}`),
	"a cost that is bare":     withJSON(checkPath, `{"cost":%[1]s}`),
	"an id with a space":      withJSON(checkPath, `{"id":"%[1]s "}`),
	"an id with a wrong cost": withJSON(checkPath, `{"id":"%[1]s","cost":0}`),
	"what follows":            withJSON(checkPath, `{}%[1]s`),
	"a reservation to release": withJSON(
		"/v1/accounts/marketing/newsletter/release", `{"reservation":"%[1]s"}`),
	"a batch's list":  withJSON("/v1/check", `{"%[1]s":[]}`),
	"an item":         withJSON("/v1/check", `{"checks":["%[1]s"]}`),
	"an item's field": withJSON("/v1/check", `{"checks":[{"%[1]s":1}]}`),
	"an item's account": withJSON(
		"/v1/check", `{"checks":[{"namespace":"%[1]s","name":"%[1]s"}]}`),
	"an item's reservation": withJSON("/v1/release",
		`{"releases":[{"namespace":"marketing","name":"newsletter","reservation":"%[1]s"}]}`),
}

const checkPath = "/v1/accounts/marketing/newsletter/check"

func withJSON(path, body string) string { return withBody(path, "application/json", body) }

// withBody ends in a body whose length exchange fills in.
func withBody(path, mediaType, body string) string {
	return "POST " + path + " HTTP/1.1\r\nContent-Type: " + mediaType +
		"\r\nContent-Length: LENGTH\r\n\r\n" + body
}

// TestSecretsStayWithTheirCallers puts a token, an id and a mail address into every place of a
// request. None may be in the log or the metrics, and no token in the response.
func TestSecretsStayWithTheirCallers(t *testing.T) {
	logged := 0
	for place, text := range places {
		for what, secret := range secrets {
			t.Run(what+" as "+place, func(t *testing.T) {
				s := startSecretive(t)
				got := s.exchange(fmt.Sprintf(text, secret, url.PathEscape(secret)))
				for name, text := range map[string]string{
					"the log": s.log.String(), "a metric": s.series(t), "the response": got,
				} {
					if name == "the response" && what != "a token" {
						continue
					}
					for part := range strings.FieldsFuncSeq(secret, func(r rune) bool {
						return strings.ContainsRune(".@:_", r)
					}) {
						if len(part) > 3 && strings.Contains(text, part) {
							t.Errorf("%s says %q: %s", name, part, text)
						}
					}
				}
				logged += strings.Count(s.log.String(), "\n")
			})
		}
	}
	if want := len(places) * 2; logged < want {
		t.Errorf("%d lines were logged, want at least %d: the requests do not fail", logged, want)
	}
}

// TestALineStaysALine wants one line of JSON for each failure, whatever is in the request.
func TestALineStaysALine(t *testing.T) {
	for what, evil := range map[string]string{
		"ANSI": "\x1b[31mred\x1b[0m", "CRLF": "a\r\nforged: 1", "LF": "a\n{\"level\":\"ERROR\"}",
		"NUL": "a\x00b", "invalid UTF-8": "\xff\xfe", "a line separator": "a\u2028b",
		"a quote": `"}{"msg":"forged"}`, "much": strings.Repeat("a\x1b", 8<<10),
	} {
		for place, text := range places {
			t.Run(what+" as "+place, func(t *testing.T) {
				s := startSecretive(t)
				s.exchange(fmt.Sprintf(text, evil, url.PathEscape(evil)))
				for line := range strings.Lines(s.log.String()) {
					var fields map[string]any
					if err := json.Unmarshal([]byte(line), &fields); err != nil {
						t.Errorf("%v: %q", err, line)
					}
					if strings.ContainsAny(line, "\x1b\x00\u2028") || len(line) > 2000 ||
						strings.Contains(line, "forged") {
						t.Errorf("a line is %q", line)
					}
				}
			})
		}
	}
}

// secretive is a server as it is run, with its log as it is written.
type secretive struct {
	address  string
	log      *safeBuffer
	registry *prometheus.Registry
}

func startSecretive(t *testing.T) *secretive {
	t.Helper()
	s := &secretive{log: &safeBuffer{}, registry: prometheus.NewRegistry()}
	logger := logr.FromSlogHandler(slog.NewJSONHandler(s.log, nil))
	l := limiter.New(memory.New(memory.Options{}))
	limitertest.Apply(t, l, newsletter, "uid-1", limiter.Policy{})
	l.MarkLoaded()
	listener, err := server.Listen("127.0.0.1:0", server.DefaultMaxConnections, logger)
	if err != nil {
		t.Fatal(err)
	}
	h := server.HTTPServer(
		server.New(server.Options{Limiter: l, Registry: s.registry, Log: logger}), logger)
	go func() { _ = h.Serve(listener) }()
	t.Cleanup(func() { _ = h.Close() })
	s.address = listener.Addr().String()
	return s
}

// exchange sends a request, and no more, and returns everything that comes back.
func (s *secretive) exchange(text string) string {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	head = strings.Replace(head, "LENGTH", fmt.Sprint(len(body)), 1)
	line, fields, _ := strings.Cut(head, "\r\n")
	if !strings.Contains(fields, "Host: ") {
		fields = "Host: sluice\r\n" + fields
	}
	text = line + "\r\n" + strings.TrimSuffix(fields, "\r\n") + "\r\nConnection: close\r\n\r\n" + body
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	got, _ := io.ReadAll(conn)
	return string(got)
}

// series returns the names and labels of all metrics.
func (s *secretive) series(t *testing.T) string {
	t.Helper()
	a := &api{t: t, registry: s.registry}
	return strings.Join(slices.Sorted(maps.Keys(a.series())), "\n")
}

// safeBuffer is a buffer that one goroutine writes while another one reads.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
