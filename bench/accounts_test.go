package bench

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// TestAccountsAreChosen of a real server.
func TestAccountsAreChosen(t *testing.T) {
	l := limiter.New(memory.New(memory.Options{}))
	for _, name := range []string{"load/bench-1", "load/bench-2", "load/other", "mail/bench-3",
		"mail/newsletter"} {
		namespace, name, _ := strings.Cut(name, "/")
		limitertest.Apply(
			t,
			l,
			limiter.Key{Namespace: namespace, Name: name},
			"uid",
			limiter.Policy{},
		)
	}
	limitertest.Apply(
		t,
		l,
		limiter.Key{Namespace: "load", Name: "bench-0"},
		"uid",
		limiter.Policy{Suspended: true},
	)
	l.MarkLoaded()
	var h http.Handler = server.New(server.Options{Limiter: l})
	for name, c := range map[string]struct {
		accounts          int
		namespace, prefix string
		want              []string
		note              string
	}{
		"the first ones": {2, "", "", []string{"bench-1", "bench-2"}, ""},
		"all but the suspended one": {5, "", "",
			[]string{"bench-1", "bench-2", "other", "bench-3", "newsletter"}, ""},
		"more than there are": {6, "", "",
			[]string{"bench-1", "bench-2", "other", "bench-3", "newsletter"},
			"There are only 5 accounts to use, not 6."},
		"of a namespace": {10, "mail", "", []string{"bench-3", "newsletter"},
			"There are only 2 accounts to use in the namespace mail, not 10."},
		"with a prefix": {3, "", "bench-", []string{"bench-1", "bench-2", "bench-3"}, ""},
		"both":          {2, "load", "bench-", []string{"bench-1", "bench-2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := setting(h)
				config.Accounts, config.Namespace, config.Prefix = c.accounts, c.namespace, c.prefix
				client, err := newClient(&config)
				if err != nil {
					t.Fatal(err)
				}
				r := &run{config: config, client: client}
				if err := r.find(t.Context()); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, a := range r.accounts {
					got = append(got, a.Name)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				if note := strings.Join(r.notes, " "); note != c.note {
					t.Errorf("the note is %q, want %q", note, c.note)
				}
			})
		})
	}
}
