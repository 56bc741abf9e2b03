package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

// rules is an Auth whose tokens are names, and which knows what each name may do. The real one is
// in package kubeauth.
type rules struct {
	may map[string][]string // "verb namespace/name", by name
	mu  sync.Mutex
	ask []string // what was asked, in order
}

type namedCaller string

func (c namedCaller) User() string { return string(c) }

func (a *rules) Authenticate(_ context.Context, token string) (server.Caller, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ask = append(a.ask, "who is "+token)
	if _, known := a.may[token]; !known {
		return nil, httpv1.Unauthenticated.Problem("Nobody has this token.")
	}
	return namedCaller(token), nil
}

func (a *rules) Authorize(
	_ context.Context, who server.Caller, verb string, k limiter.Key,
) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	right := verb + " " + k.Namespace + "/" + k.Name
	a.ask = append(a.ask, "may "+who.User()+" "+right)
	if slices.Contains(a.may[who.User()], right) {
		return nil
	}
	return httpv1.Forbidden.Problem("You may not " + right + ".")
}

func (a *rules) AuthorizeCalls(
	ctx context.Context, who server.Caller, verb string, calls []limiter.Call,
) {
	for i := range calls {
		if calls[i].Err == nil {
			calls[i].Err = a.Authorize(ctx, who, verb, calls[i].Key)
		}
	}
}

func (a *rules) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.ask = nil }()
	return a.ask
}

// as is a request with a token.
func as(token string, r request) request {
	r.header.Set("Authorization", "Bearer "+token)
	return r
}

// newGuarded starts a server whose callers have these rights, each a verb and an account.
func newGuarded(t *testing.T, may map[string][]string) (*api, *rules) {
	t.Helper()
	auth := &rules{may: may}
	return newAPI(t, limiter.Policy{Limits: limitertest.Limits(10, 0, 0)}, setup{auth: auth}), auth
}

func TestTheTokenIsOneBearerToken(t *testing.T) {
	a, _ := newGuarded(t, map[string][]string{"amy": {"use marketing/newsletter"}})
	for name, c := range map[string]struct {
		header []string
		hint   string // empty: the token is accepted
	}{
		"a token":                      {[]string{"Bearer amy"}, ""},
		"a scheme in other letters":    {[]string{"bEARER amy"}, ""},
		"more than one space":          {[]string{"Bearer   amy"}, ""},
		"no header":                    {nil, "Authorization: Bearer <token>"},
		"an empty header":              {[]string{""}, "must be there once, as: Bearer"},
		"no token":                     {[]string{"Bearer "}, "must be there once, as: Bearer"},
		"a token alone":                {[]string{"amy"}, "must be there once, as: Bearer"},
		"another scheme":               {[]string{"Basic amy"}, "must be there once, as: Bearer"},
		"two tokens":                   {[]string{"Bearer amy", "Bearer amy"}, "must be there once"},
		"a token longer than there is": {[]string{"Bearer " + strings.Repeat("a", 9<<10)}, "longer"},
		"a token that nobody has":      {[]string{"Bearer eve"}, "Nobody has this token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{}.to("/v1/accounts/marketing/newsletter/check")
			r.header["Authorization"] = c.header
			got := a.in(t).call(r)
			if c.hint == "" {
				if got.status != http.StatusOK {
					t.Errorf("got %d %s", got.status, got.body)
				}
				return
			}
			got.wantProblem(http.StatusUnauthorized, "unauthenticated", c.hint)
			if diff := cmp.Diff(`Bearer realm="sluice"`, got.header.Get("WWW-Authenticate")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// aRequestOf makes a request of an operation about the newsletter.
func aRequestOf(o server.Operation) request {
	path := strings.NewReplacer("{namespace}", "marketing", "{name}", "newsletter").Replace(o.Pattern)
	r := request{method: o.Method}
	if list, ok := strings.CutPrefix(o.Pattern, "/v1/"); ok && o.Method == http.MethodPost &&
		!strings.Contains(list, "/") {
		r.body = fmt.Sprintf(`{"%ss":[{"namespace":"marketing","name":"newsletter"}]}`, list)
	}
	return r.to(path)
}

// TestEveryOperationNeedsARight is about all rows of the route table: a new one is not open by
// accident.
func TestEveryOperationNeedsARight(t *testing.T) {
	needs := map[string]string{
		"check": "use marketing/newsletter", "commit": "use marketing/newsletter",
		"release": "use marketing/newsletter", "checkBatch": "use marketing/newsletter",
		"commitBatch": "use marketing/newsletter", "releaseBatch": "use marketing/newsletter",
		"getAccount": "get marketing/newsletter", "listAccounts": "list /",
		"getOpenAPI": "",
	}
	for _, o := range server.Operations() {
		t.Run(o.Name, func(t *testing.T) {
			a, auth := newGuarded(t, map[string][]string{
				"bob": {needs[o.Name]}, "eve": nil,
			})
			right, known := needs[o.Name]
			if !known {
				t.Fatal("say here which right the operation needs")
			}
			anonymous := a.call(aRequestOf(o))
			if right == "" {
				if anonymous.status != http.StatusOK {
					t.Errorf("without a token: %d %s", anonymous.status, anonymous.body)
				}
				return
			}
			anonymous.wantProblem(http.StatusUnauthorized, "unauthenticated", "Send the token")
			refused := a.call(as("eve", aRequestOf(o)))
			if !strings.Contains(refused.body, "You may not "+right) {
				t.Errorf("without the right: %d %s", refused.status, refused.body)
			}
			auth.asked()
			allowed := a.call(as("bob", aRequestOf(o)))
			if strings.Contains(allowed.body, "You may not") || allowed.status == http.StatusForbidden {
				t.Errorf("with the right: %d %s", allowed.status, allowed.body)
			}
			if diff := cmp.Diff([]string{"who is bob", "may bob " + right}, auth.asked()); diff != "" {
				t.Errorf("asked (want -, got +):\n%s", diff)
			}
		})
	}
}

// lookups is a store that counts how often it is asked for an account.
type lookups struct {
	limiter.Store
	mu sync.Mutex
	n  int
}

func (s *lookups) Open(key limiter.Key, uid string) limiter.Account {
	return countedAccount{s.Store.Open(key, uid), s}
}

type countedAccount struct {
	limiter.Account
	store *lookups
}

func (a countedAccount) Check(
	ctx context.Context, now limiter.Instant, p *limiter.CurrentPolicy, ask limiter.Ask,
) (limiter.Decision, error) {
	a.store.mu.Lock()
	a.store.n++
	a.store.mu.Unlock()
	return a.Account.Check(ctx, now, p, ask)
}

func TestAStrangerCannotTellWhetherAnAccountExists(t *testing.T) {
	store := &lookups{Store: memory.New(memory.Options{})}
	auth := &rules{may: map[string][]string{"eve": nil}}
	for name, unloaded := range map[string]bool{"loaded": false, "not loaded yet": true} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, limiter.Policy{Limits: limitertest.Limits(10, 0, 0)},
				setup{auth: auth, store: store, unloaded: unloaded})
			for _, verb := range []string{"/check", "/commit", "/release", ""} {
				method := http.MethodPost
				if verb == "" {
					method = http.MethodGet
				}
				ask := func(account string) response {
					r := request{method: method}
					if method == http.MethodPost {
						r.body = "not JSON" // which is not told either: it is not read
					}
					return a.call(as("eve", r.to("/v1/accounts/marketing/"+account+verb)))
				}
				there, absent := ask("newsletter"), ask("newslettex")
				there.wantProblem(http.StatusForbidden, "forbidden", "You may not")
				same := strings.ReplaceAll(absent.body, "newslettex", "newsletter")
				if diff := cmp.Diff(there.body, same); diff != "" {
					t.Errorf("%s: there -, absent +:\n%s", verb, diff)
				}
				there.header.Del("Date")
				absent.header.Del("Date")
				if diff := cmp.Diff(there.header, absent.header); diff != "" {
					t.Errorf("%s: there -, absent +:\n%s", verb, diff)
				}
			}
		})
	}
	if store.n > 0 {
		t.Errorf("the store was asked %d times", store.n)
	}
}

func TestEachItemOfABatchNeedsItsOwnRight(t *testing.T) {
	a, _ := newGuarded(t, map[string][]string{
		"bob": {"use marketing/newsletter", "use marketing/absent"},
	})
	r := request{body: `{"checks":[
		{"namespace":"marketing","name":"newsletter","id":"1"},
		{"namespace":"marketing","name":"password-resets","id":"2"},
		{"namespace":"marketing","name":"absent","id":"3"},
		{"namespace":"marketing","name":""},
		{"namespace":"other","name":"newsletter","id":"4"}]}`}
	got := into[httpv1.CheckBatchResponse](a.call(as("bob", r.to("/v1/check"))))
	var said []string
	for _, result := range got.Results {
		if result.Problem != nil {
			said = append(said, strings.TrimPrefix(result.Problem.Type, httpv1.ProblemBase))
			continue
		}
		said = append(said, result.Decision)
	}
	want := []string{"Allow", "forbidden", "account-not-found", "invalid-field", "forbidden"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestAListNeedsTheRightToItsNamespace(t *testing.T) {
	a, _ := newGuarded(t, map[string][]string{
		"amy": {"list marketing/"}, "bob": {"list /", "list marketing/"},
	})
	for name, c := range map[string]struct {
		who, query string
		status     int
	}{
		"one namespace":                        {"amy", "?namespace=marketing", 200},
		"another namespace":                    {"amy", "?namespace=accounts", 403},
		"all, with the right to one":           {"amy", "", 403},
		"all by an empty name":                 {"amy", "?namespace=", 403},
		"all, with the right to all":           {"bob", "", 200},
		"an unknown parameter, before a right": {"amy", "?what=all", 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{method: http.MethodGet, beyondSchema: c.status == 400}
			got := a.in(t).call(as(c.who, r.to("/v1/accounts"+c.query)))
			if got.status != c.status {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}
