package kubeauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// text returns the metrics of a registry, as they are scraped.
func text(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	return w.Body.String()
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(_, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) String() string { return strings.Join(l.all, "\n") }

// TestWhatIsCountedAndLogged also wants no token in the metrics, the log and the problems.
func TestWhatIsCountedAndLogged(t *testing.T) {
	signingKey()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(15 * time.Second)
		var logged lines
		log := funcr.New(logged.add, funcr.Options{})
		registry := prometheus.NewPedanticRegistry()
		f := newFakeAPI(t, log, registry)
		f.allow("dispatcher", "newsletter", true)
		good, forged := f.token("dispatcher"), forge(f.token("dispatcher"))
		stranger := edit(f.token("dispatcher"), 0, "kid", "unknown")
		tokens := []string{good, forged, stranger, "garbage-garbage"}
		var problems []string
		call := func() {
			for _, token := range tokens {
				caller, err := f.Authenticate(t.Context(), token)
				if err != nil {
					problems = append(problems, err.Error())
					continue
				}
				for _, name := range []string{"newsletter", "invoices"} {
					if err := f.use(caller, "marketing", name); err != nil {
						problems = append(problems, err.Error())
					}
				}
			}
		}
		call()
		call()
		time.Sleep(6 * time.Minute)
		for range 50 { // the API server comes and goes
			f.set(func() { f.fault = status(503) })
			for range 10 {
				call()
				time.Sleep(200 * time.Millisecond)
			}
			f.set(func() { f.fault = nil })
			for range 10 {
				call()
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(6 * time.Minute)
		}
		metrics := text(t, registry)
		all := metrics + strings.Join(problems, "\n") + logged.String()
		for _, token := range tokens {
			for part := range strings.SplitSeq(token, ".") {
				if strings.Contains(all, part) {
					t.Errorf("%q is repeated", part)
				}
			}
		}
		// A line for each kind and for the keys when it begins, and one when it ends.
		if n := len(logged.all); n < 50 || n > 6*50 {
			t.Errorf("%d lines are logged: %s", n, logged.String())
		}
		for _, want := range []string{
			`sluice_auth_reviews_total{kind="token",result="allowed"}`,
			`sluice_auth_reviews_total{kind="token",result="denied"}`,
			`sluice_auth_reviews_total{kind="token",result="unavailable"}`,
			`sluice_auth_reviews_total{kind="access",result="allowed"}`,
			`sluice_auth_reviews_total{kind="access",result="denied"}`,
			`sluice_auth_reviews_total{kind="access",result="unavailable"}`,
			`sluice_auth_review_duration_seconds_count{kind="token"}`,
			`sluice_auth_cache_lookups_total{kind="token",result="hit"}`,
			`sluice_auth_cache_lookups_total{kind="token",result="miss"}`,
			`sluice_auth_cache_lookups_total{kind="access",result="hit"}`,
			`sluice_auth_cache_lookups_total{kind="access",result="miss"}`,
			`sluice_auth_stale_total{kind="token"}`,
			`sluice_auth_stale_total{kind="access"}`,
			`sluice_auth_refused_tokens_total{reason="malformed"}`,
			`sluice_auth_refused_tokens_total{reason="forged"}`,
			`sluice_auth_available{kind="token"} 1`,
			`sluice_auth_keys 1`,
			`sluice_auth_subjects 1`,
		} {
			if !strings.Contains(metrics, want) || strings.Contains(metrics, want+" 0\n") {
				t.Errorf("%s is missing, or 0", want)
			}
		}
	})
}

// TestAPIServerThatFlapsLogsLittle has one that fails every other call.
func TestAPIServerThatFlapsLogsLittle(t *testing.T) {
	signingKey()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(15 * time.Second)
		var logged lines
		log := funcr.New(logged.add, funcr.Options{})
		f := newFakeAPI(t, log, nil)
		f.mustAuthenticate(f.token("dispatcher"))
		for i := range 100 {
			f.set(func() { f.fault = nil })
			if i%2 == 0 {
				f.set(func() { f.fault = status(503) })
			}
			_, _ = f.Authenticate(t.Context(), f.token("dispatcher"))
			time.Sleep(time.Second)
		}
		if n := len(logged.all); n < 10 || n > 20 {
			t.Errorf("%d lines in 100 s", n)
		}
	})
}

func TestSeriesAreAlwaysTheSame(t *testing.T) {
	signingKey()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(15 * time.Second)
		registry := prometheus.NewPedanticRegistry()
		f := newFakeAPI(t, funcr.New(func(string, string) {}, funcr.Options{}), registry)
		series := func() (names []string) {
			for line := range strings.Lines(text(t, registry)) {
				names = append(names, line[:strings.LastIndex(line, " ")])
			}
			return names
		}
		before := series()
		for i := range 100 {
			caller := f.mustAuthenticate(f.token(fmt.Sprintf("dispatcher-%d", i)))
			_ = f.use(caller, fmt.Sprintf("namespace-%d", i), "newsletter")
			_, _ = f.Authenticate(t.Context(), forge(f.token("dispatcher")))
		}
		if diff := cmp.Diff(before, series()); diff != "" {
			t.Errorf("-before +after:\n%s", diff)
		}
	})
}
