//go:build chaos

// Package apiserver has the API server of a real cluster fail in every way, while a real Sluice
// answers callers with real tokens: the server is killed and frozen, its disk is frozen, and the
// network to it breaks, is slow, or forgets a connection. `make chaos` runs it.
package apiserver

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// unlimited is the spec of an account that is always allowed.
const unlimited = "{limits: {}}"

// started is a process that has answered a caller about an account.
func started(t *testing.T) (p *process, known *sluice.Client) {
	t.Helper()
	applyAccount(t, "known", unlimited)
	p = newProcess(t)
	p.start()
	p.untilReady()
	known = p.as(token(t, "sender"))
	p.want(known, "known", httpv1.Allow)
	return p, known
}

// TestTheAPIServerIsAway wants callers that are known to be answered as if nothing were wrong, and
// others to be told that nobody knows.
func TestTheAPIServerIsAway(t *testing.T) {
	for _, c := range []struct{ name, begin, end string }{
		{"killed", "APISERVER_DOWN", "APISERVER_UP"},
		{"frozen", "APISERVER_FREEZE", "APISERVER_THAW"},
		{"its etcd is frozen", "ETCD_FREEZE", "ETCD_THAW"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, known := started(t)
			fresh := p.as(token(t, "sender"))
			before := p.goroutines()
			l := p.load(known)
			fault(t, c.begin)
			mended := false
			defer func() {
				if !mended {
					mend(t, c.end)
				}
			}()
			until := time.Now().Add(outage())
			for time.Now().Before(until) {
				// With its etcd frozen the API server may still know who calls.
				if got := p.check(fresh, "known"); got != "not-ready" &&
					(c.begin != "ETCD_FREEZE" || got != httpv1.Allow) {
					t.Errorf("a token that was never seen is answered with %s, want not-ready", got)
				}
				time.Sleep(time.Second)
			}
			l.end(outage())
			if status := get("http://" + p.health + "/readyz"); status != http.StatusOK {
				t.Errorf("/readyz answers %d", status)
			}
			mend(t, c.end)
			mended = true
			p.want(fresh, "known", httpv1.Allow, "not-ready")
			// What is changed afterwards is taken up.
			applyAccount(t, "known", "{limits: {}, suspend: true}")
			p.want(known, "known", httpv1.Defer, httpv1.Allow)
			p.eventually(time.Minute, "the goroutines have ended", func() error {
				if now := p.goroutines(); now > before+50 {
					return errors.New("they have not")
				}
				return nil
			})
		})
	}
}

// load is a caller that checks ten times a second.
type load struct {
	p      *process
	cancel context.CancelFunc
	done   sync.WaitGroup
	began  time.Time
	times  []time.Duration
	failed map[string]int
}

func (p *process) load(c *sluice.Client) *load {
	ctx, cancel := context.WithCancel(p.t.Context())
	l := &load{p: p, cancel: cancel, began: time.Now(), failed: map[string]int{}}
	l.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			begin := time.Now()
			_, err := c.Check(p.t.Context(), httpv1.Account{Namespace: namespace, Name: "known"},
				httpv1.CheckRequest{})
			l.times = append(l.times, time.Since(begin))
			if err != nil {
				l.failed[err.Error()]++
			}
			<-tick.C
		}
	})
	return l
}

// end ends the load, and wants all of it to have been allowed.
func (l *load) end(outage time.Duration) {
	l.p.t.Helper()
	l.cancel()
	l.done.Wait()
	slices.Sort(l.times)
	n := len(l.times)
	l.p.t.Logf("%d checks in %s: p50 %s, p99 %s, max %s", n, time.Since(l.began).Round(time.Second),
		l.times[n/2], l.times[n*99/100], l.times[n-1])
	if len(l.failed) > 0 || n < int(outage/time.Second)*5 {
		l.p.t.Errorf("of %d checks within %s these failed: %v", n, outage, l.failed)
	}
}

// TestWhatChangesMeanwhileAppliesOnce cuts Sluice off, changes everything, and connects it again.
func TestWhatChangesMeanwhileAppliesOnce(t *testing.T) {
	p, known := started(t)
	applyAccount(t, "lowered", unlimited)
	applyAccount(t, "replaced", "{limits: {perDay: 1}}")
	p.want(known, "lowered", httpv1.Allow, "account-not-found")
	p.want(known, "replaced", httpv1.Allow, "account-not-found")
	revoked := p.as(token(t, "revoked"))
	p.want(revoked, "known", httpv1.Allow)

	p.network.Refuse()
	applyAccount(t, "lowered", "{limits: {perDay: 1}}")
	kubectl(t, "", "delete", "mailaccount", "-n", namespace, "replaced")
	applyAccount(t, "replaced", "{limits: {perDay: 2}}")
	applyAccount(t, "made", unlimited)
	kubectl(t, "", "delete", "serviceaccount", "-n", namespace, "revoked")
	time.Sleep(5 * time.Second)
	if got := p.check(known, "lowered"); got != httpv1.Allow {
		t.Errorf("meanwhile an account with a known limit is answered with %s", got)
	}
	if got := p.check(known, "replaced"); got != httpv1.Defer {
		t.Errorf("meanwhile a full account is answered with %s", got)
	}

	p.network.Heal(t)
	p.want(known, "lowered", httpv1.Defer, httpv1.Allow)
	p.want(known, "made", httpv1.Allow, "account-not-found")
	p.want(known, "replaced", httpv1.Allow, httpv1.Defer)
	if !testing.Short() {
		// Within the two minutes that a review is remembered, and what the connection takes.
		p.eventually(3*time.Minute, "who is gone is unknown", func() error {
			if got := p.check(revoked, "known"); got != "unauthenticated" {
				return errors.New(got)
			}
			return nil
		})
	}
	for account, want := range map[string]int{"lowered": 2, "replaced": 2, "made": 1, "known": 1} {
		if n := p.applied(account); n != want {
			t.Errorf("limits of %s were applied %d times, want %d", account, n, want)
		}
	}
}

// applied is how often limits of an account came into force.
func (p *process) applied(account string) (n int) {
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, `"limits in force"`) &&
			strings.Contains(line, `"name":"`+account+`"`) {
			n++
		}
	}
	return n
}

// TestAStartWithoutTheAPIServer wants 503 until there is one, and never 404 or 401.
func TestAStartWithoutTheAPIServer(t *testing.T) {
	applyAccount(t, "known", unlimited)
	p := newProcess(t)
	p.network.Refuse()
	p.start()
	p.eventually(time.Minute, "it listens", func() error {
		if get("http://"+p.health+"/healthz") != http.StatusOK {
			return errors.New("it does not")
		}
		return nil
	})
	c := p.as(token(t, "sender"))
	for range 20 {
		if got := p.check(c, "known"); got != "not-ready" {
			t.Errorf("a check is answered with %s, want not-ready", got)
		}
		if status := get("http://" + p.health + "/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("/readyz answers %d", status)
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.network.Heal(t)
	p.want(c, "known", httpv1.Allow, "not-ready")
	p.untilReady()
}

// TestASlowAPIServer has every answer of it take five seconds.
func TestASlowAPIServer(t *testing.T) {
	p, known := started(t)
	p.network.SetDelay(redistest.Delay{Replies: 5 * time.Second})
	l := p.load(known)
	fresh := p.as(token(t, "sender"))
	p.want(fresh, "known", httpv1.Allow, "not-ready")
	applyAccount(t, "known", "{limits: {}, suspend: true}")
	p.want(known, "known", httpv1.Defer, httpv1.Allow)
	applyAccount(t, "known", unlimited)
	p.want(known, "known", httpv1.Allow, httpv1.Defer)
	time.Sleep(10 * time.Second)
	l.end(10 * time.Second)
}

// TestAConnectionThatIsForgotten has the connections go on for ever without a word, as after a
// failover of a load balancer. Sluice notices, and lists anew.
func TestAConnectionThatIsForgotten(t *testing.T) {
	p, known := started(t)
	p.network.Orphan()
	applyAccount(t, "known", "{limits: {}, suspend: true}")
	began := time.Now()
	p.want(known, "known", httpv1.Defer, httpv1.Allow)
	t.Logf("noticed after %s", time.Since(began).Round(time.Second))
	applyAccount(t, "known", unlimited)
}

// TestTheDefinitionIsDeleted deletes the CustomResourceDefinition, and with it all accounts, and
// creates it again.
func TestTheDefinitionIsDeleted(t *testing.T) {
	p, known := started(t)
	applyAccount(t, "spent", "{limits: {perDay: 1}}")
	p.want(known, "spent", httpv1.Allow, "account-not-found")
	p.want(known, "spent", httpv1.Defer)
	kubectl(t, "", "delete", "crd", "mailaccounts.sluice.dev", "--timeout=60s")
	p.want(known, "known", "account-not-found", httpv1.Allow)
	if got := p.check(known, "spent"); got == httpv1.Allow {
		t.Error("a full account was allowed while its definition was deleted")
	}
	kubectl(t, "", "apply", "-f", "config/crd/sluice.dev_mailaccounts.yaml")
	kubectl(t, "", "wait", "crd", "mailaccounts.sluice.dev", "--for=condition=Established",
		"--timeout=60s")
	applyAccount(t, "known", unlimited)
	applyAccount(t, "spent", "{limits: {perDay: 1}}")
	p.want(known, "known", httpv1.Allow, "account-not-found")
	p.want(known, "spent", httpv1.Allow, "account-not-found")
	p.want(known, "spent", httpv1.Defer)
}
