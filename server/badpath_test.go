package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

const (
	accountHint = "Check the namespace and the name, or create the MailAccount."
	pathHint    = "The API is at /v1/accounts; GET /openapi.yaml describes it."
)

// names are segments of a path that name no account, whatever they mean to a file system, a log or
// a terminal.
var names = map[string]string{
	"an unknown name":             "nobody",
	"a name in another case":      "Newsletter",
	"a name with a space after":   "newsletter%20",
	"NUL":                         "%00",
	"a name with NUL after":       "newsletter%00",
	"control characters":          "%01%0d%0a%1b%7f",
	"bytes that are no text":      "%ff%fe",
	"an escaped slash in a name":  "newsletter%2Fcheck",
	"an escaped slash alone":      "%2F",
	"an escaped dot":              "%2e",
	"two escaped dots":            "%2e%2e",
	"two dots, one escaped":       ".%2e",
	"a way up, escaped":           "%2e%2e%2F%2e%2e%2Fnewsletter",
	"a name of 300 characters":    strings.Repeat("a", 300),
	"a name of 3,000 characters":  strings.Repeat("%41", 1000),
	"a name in Greek":             "%CE%B1%CE%B2",
	"a wildcard":                  "*",
	"braces, as the patterns use": "%7Bname%7D",
}

func TestNames(t *testing.T) {
	for name, segment := range names {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{}, setup{})
			for _, path := range []string{
				"/v1/accounts/marketing/" + segment, "/v1/accounts/" + segment + "/newsletter",
			} {
				a.get(path).wantProblem(404, "account-not-found", accountHint)
				for _, verb := range verbs {
					got := a.call(request{}.to(path + "/" + verb))
					got.wantProblem(404, "account-not-found", accountHint)
				}
			}
			a.unused()
		})
	}
}

// noPaths are paths at which there is nothing.
var noPaths = map[string]string{
	"the root":                       "/",
	"another version":                "/v2/accounts",
	"another resource":               "/v1/users",
	"half a path":                    "/v1/accounts/marketing",
	"a slash after":                  "/v1/accounts/",
	"a slash after an account":       "/v1/accounts/marketing/newsletter/",
	"a slash after a call":           "/v1/accounts/marketing/newsletter/check/",
	"a call that is none":            "/v1/accounts/marketing/newsletter/checks",
	"a call in another case":         "/v1/accounts/marketing/newsletter/Check",
	"no namespace":                   "/v1/accounts//newsletter/check",
	"no name":                        "/v1/accounts/marketing//check",
	"neither":                        "/v1/accounts///check",
	"two slashes before":             "/v1//accounts",
	"a way up in the place of names": "/v1/accounts/../newsletter/check",
	"a way up that leads home":       "/v1/accounts/marketing/nobody/../newsletter/check",
	"a dot":                          "/v1/accounts/./marketing/newsletter/check",
	"an escaped slash for a slash":   "/v1/accounts/marketing%2Fnewsletter%2Fcheck",
	"an escaped slash in the prefix": "/v1%2Faccounts/marketing/newsletter/check",
	"metrics":                        "/metrics",
	"a path of six segments":         "/v1/accounts/marketing/newsletter/check/check",
}

func TestPaths(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for name, path := range noPaths {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				got := a.call(request{method: method}.to(path))
				got.wantProblem(404, "path-not-found", pathHint)
			}
		})
	}
	a.unused()
}

func TestMethods(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	methods := []string{
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get",
	}
	for path, allowed := range map[string][]string{
		"/v1/accounts/marketing/newsletter/check":   {"POST"},
		"/v1/accounts/marketing/newsletter/commit":  {"POST"},
		"/v1/accounts/marketing/newsletter/release": {"POST"},
		"/v1/accounts/marketing/newsletter":         {"GET", "HEAD"},
		"/v1/accounts":                              {"GET", "HEAD"},
		"/openapi.yaml":                             {"GET", "HEAD"},
	} {
		for _, method := range methods {
			t.Run(method+" "+path, func(t *testing.T) {
				a := a.in(t)
				got, list := a.call(request{method: method}.to(path)), strings.Join(allowed, ", ")
				switch {
				case strings.Contains(" "+list+",", " "+method+","):
					if got.status != 200 && got.problem().Type != "reservation-not-found" {
						t.Errorf("got %d %s", got.status, got.body)
					}
				case got.header.Get("Allow") != list:
					t.Errorf("got Allow: %q, want %q", got.header.Get("Allow"), list)
				case method != http.MethodHead:
					got.wantProblem(405, "method-not-allowed", "Use "+list+" here.")
				}
			})
		}
	}
}

// TestRequestLines sends request lines that net/http's client would not send.
func TestRequestLines(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	for name, c := range map[string]struct {
		line   string
		status int
		kind   string // empty: net/http refuses it, in plain text
	}{
		"OPTIONS *":         {"OPTIONS * HTTP/1.1", 404, "path-not-found"},
		"GET *":             {"GET * HTTP/1.1", 404, "path-not-found"},
		"CONNECT":           {"CONNECT example.com:443 HTTP/1.1", 404, "path-not-found"},
		"CONNECT to a path": {"CONNECT /v1/accounts HTTP/1.1", 404, "path-not-found"},
		"a whole URL": {
			"POST http://other.example/v1/accounts/a/b/check HTTP/1.1", 404, "account-not-found",
		},
		"a host and no path": {"GET http://other.example HTTP/1.1", 404, "path-not-found"},
		"two slashes before": {
			"POST //v1/accounts/marketing/newsletter/check HTTP/1.1", 404, "path-not-found",
		},
		"a control character":         {"GET /v1/accounts/\x01 HTTP/1.1", 400, ""},
		"NUL":                         {"GET /v1/accounts/\x00 HTTP/1.1", 400, ""},
		"an escape that is none":      {"GET /v1/accounts/%zz HTTP/1.1", 400, ""},
		"an escape that is cut short": {"GET /v1/accounts/a/b% HTTP/1.1", 400, ""},
		"no version":                  {"GET /v1/accounts", 400, ""},
		"HTTP/2 without a handshake":  {"PRI * HTTP/2.0", 404, "path-not-found"},
		"a method with a space":       {"GE T /v1/accounts HTTP/1.1", 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.in(t).raw(c.line + "\r\nHost: sluice\r\nConnection: close\r\n\r\n")
			if c.kind != "" {
				contract.hold(t, request{}, got) // of no operation
				got.wantProblem(c.status, c.kind, "")
			} else if got.status != c.status ||
				got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	a.unused()
}
