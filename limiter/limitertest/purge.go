package limitertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// usedAccounts is a limiter with two accounts of uid-1, each with two sends and a reservation.
func (s suite) usedAccounts(t *testing.T) *Harness {
	t.Helper()
	l := s.open(t, Options{})
	(&timeline{t: t, l: l}).play(`
		0s  apply uid=uid-1 minute=9                    -> changed
		0s  commit                                      -> unreserved
		1s  commit                                      -> unreserved
		1s  check a                                     -> allow 6
		0s  apply account=other uid=uid-1 minute=9      -> changed
		0s  commit account=other                        -> unreserved
		1s  commit account=other                        -> unreserved
		1s  check a account=other                       -> allow 6`)
	return l
}

func key(namespace, name string) limiter.Key {
	return limiter.Key{Namespace: namespace, Name: name}
}

// testPurgeUnlessUID is G11 for an account whose object was deleted and created again with a spec
// that cannot be applied: nothing of the old one may stay in force.
func (s suite) testPurgeUnlessUID(t *testing.T) {
	for name, c := range map[string]struct {
		key     limiter.Key
		uid     string
		entries int
		then    string
	}{
		"another uid purges it": {account, "uid-2", 3, `
			1s  check b               -> no account
			1s  commit a              -> no account
			1s  held                  -> 1
			1s  apply uid=uid-2 minute=9 -> changed
			1s  usage                 -> 0/0/0 + 0
			1s  usage account=other   -> 2/2/2 + 1`},
		"its own uid does not": {account, "uid-1", 0, `
			1s  held                  -> 2
			1s  apply uid=uid-1 minute=9 -> same
			1s  usage                 -> 2/2/2 + 1`},
		"an account that is not there has nothing": {key("marketing", "nobody"), "uid-1", 0, `
			1s  held                  -> 2
			1s  usage                 -> 2/2/2 + 1
			1s  usage account=other   -> 2/2/2 + 1`},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.usedAccounts(t)
			if got := l.PurgeUnlessUID(c.key, c.uid); got != c.entries {
				t.Errorf("%d entries were purged, want %d", got, c.entries)
			}
			(&timeline{t: t, l: l}).play(c.then)
		})
	}
}

// testPolicyInForce wants the policy in force of the account that is meant: not of another one that
// has its name.
func (s suite) testPolicyInForce(t *testing.T) {
	policy := limiter.Policy{
		Limits:    Limits(1, 2, 3),
		Behavior:  limiter.Reject,
		DeferTo:   limiter.WindowBoundary,
		Suspended: true,
	}
	l := s.open(t, Options{}) // before all is loaded, too
	l.Apply(account, "uid-1", policy)
	for name, c := range map[string]struct {
		key  limiter.Key
		uid  string
		want bool
	}{
		"the account":                {account, "uid-1", true},
		"another uid":                {account, "uid-2", false},
		"no uid":                     {account, "", false},
		"another name":               {key(account.Namespace, "other"), "uid-1", false},
		"the name somewhere else":    {key("sales", account.Name), "uid-1", false},
		"namespace and name swapped": {key(account.Name, account.Namespace), "uid-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, enforced := l.PolicyInForce(c.key, c.uid)
			if enforced != c.want {
				t.Errorf("it is enforced: %v", enforced)
			}
			if diff := cmp.Diff(policy, got); enforced && diff != "" {
				t.Error(diff)
			}
		})
	}
	l.Purge(account)
	if _, enforced := l.PolicyInForce(account, "uid-1"); enforced {
		t.Error("it is enforced after it was purged")
	}
}

// testPurgeGivesRoomBack wants the bound on all reservations to know nothing of what was purged, or
// of what was replaced by an account with another uid.
func (s suite) testPurgeGivesRoomBack(t *testing.T) {
	for name, purge := range map[string]func(*Harness, limiter.Key){
		"Purge":          func(l *Harness, k limiter.Key) { l.Purge(k) },
		"PurgeUnlessUID": func(l *Harness, k limiter.Key) { l.PurgeUnlessUID(k, "another") },
		"Apply":          func(l *Harness, k limiter.Key) { l.Apply(k, "other", limiter.Policy{}) },
	} {
		t.Run(name, func(t *testing.T) {
			const bound = 3
			l := s.open(t, Options{MaxReservations: bound})
			l.Apply(account, "uid", limiter.Policy{})
			for round := range 5 {
				for i := range bound {
					ask := limiter.Ask{ID: fmt.Sprint(i), Cost: 1, TTL: time.Minute}
					d, err := l.Check(limiter.Instant{}, account, ask)
					if err != nil || d.Verdict != limiter.Allowed {
						t.Fatalf("round %d: %s", round, describe(d, err))
					}
				}
				purge(l, account)
				if held := l.Stats().Reservations; held != 0 {
					t.Errorf("round %d: %d are outstanding", round, held)
				}
				l.Apply(account, "uid", limiter.Policy{})
			}
		})
	}
}
