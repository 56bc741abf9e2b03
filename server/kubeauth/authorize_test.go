package kubeauth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func userOf(sa *corev1.ServiceAccount) kubeauth.Caller {
	return user("system:serviceaccount:" + sa.Namespace + ":" + sa.Name)
}

// asServiceAccount returns a config that is the holder of a token.
func asServiceAccount(config *rest.Config, token string) *rest.Config {
	c := rest.AnonymousClientConfig(config)
	c.BearerToken = token
	return c
}

func (f *fixture) authorize(caller kubeauth.Caller, verb, namespace, name string) error {
	return f.Authorize(f.Context(), caller, verb, limiter.Key{Namespace: namespace, Name: name})
}

// settles waits until the API server allows something, or not: it sees a binding a little later.
func (f *fixture) settles(caller kubeauth.Caller, verb, namespace, name string, allowed bool) {
	f.Helper()
	controlplane.Eventually(f.T, "the API server does not see a binding", func() error {
		ask := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: caller.User(),
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: "sluice.dev", Resource: "mailaccounts",
				Verb: verb, Namespace: namespace, Name: name,
			},
		}}
		if err := f.kube.Create(f.Context(), ask); err != nil {
			return err
		}
		if ask.Status.Allowed != allowed {
			return fmt.Errorf("allowed is %v", ask.Status.Allowed)
		}
		return nil
	})
}

func TestRights(t *testing.T) {
	f := newFixture(t)
	home, other := f.namespace(), f.namespace()
	byName := f.caller(home, "by-name")
	inNamespace := f.caller(home, "in-namespace")
	inCluster := f.caller(home, "in-cluster")
	viewer := f.caller(home, "viewer")
	stranger := f.caller(home, "stranger")
	use := f.role([]string{"use", "get"})
	f.grant(home, f.role([]string{"use"}, "newsletter"), byName)
	f.grant(home, use, inNamespace)
	f.grant("", use, inCluster)
	f.grant(home, f.role([]string{"get", "list"}), viewer)
	f.settles(byName, "use", home, "newsletter", true)
	f.settles(inNamespace, "use", home, "newsletter", true)
	f.settles(inCluster, "use", home, "newsletter", true)
	f.settles(viewer, "list", home, "", true)

	for name, c := range map[string]struct {
		caller          kubeauth.Caller
		verb            string
		namespace, name string
		allowed         bool
	}{
		"by name, that name":                {byName, "use", home, "newsletter", true},
		"by name, another name":             {byName, "use", home, "invoices", false},
		"by name, the name elsewhere":       {byName, "use", other, "newsletter", false},
		"by name, another verb":             {byName, "get", home, "newsletter", false},
		"by name, the namespace":            {byName, "use", home, "", false},
		"in the namespace, any name":        {inNamespace, "use", home, "invoices", true},
		"in the namespace, no name":         {inNamespace, "use", home, "Not_a_name", true},
		"in the namespace, elsewhere":       {inNamespace, "use", other, "invoices", false},
		"in the cluster, anywhere":          {inCluster, "use", other, "invoices", true},
		"in the cluster, odd namespace":     {inCluster, "use", "Not_a_namespace", "x", true},
		"in the cluster, all":               {inCluster, "use", "", "", true},
		"viewer lists its namespace":        {viewer, "list", home, "", true},
		"viewer lists another":              {viewer, "list", other, "", false},
		"viewer lists all":                  {viewer, "list", "", "", false},
		"viewer gets":                       {viewer, "get", home, "newsletter", true},
		"viewer uses":                       {viewer, "use", home, "newsletter", false},
		"stranger, a name":                  {stranger, "use", home, "newsletter", false},
		"stranger, odd name":                {stranger, "use", home, "../newsletter", false},
		"stranger, odd namespace":           {stranger, "use", "../" + home, "newsletter", false},
		"stranger of the cluster, get":      {stranger, "get", home, "newsletter", false},
		"a caller that was not authorised":  {user("system:admin"), "use", home, "x", false},
		"a caller that says it is somebody": {user(inCluster.User()), "use", home, "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // from the API server, and from memory
				err := f.authorize(c.caller, c.verb, c.namespace, c.name)
				if (err == nil) != c.allowed {
					t.Fatalf("got %v, want allowed %v", err, c.allowed)
				}
			}
		})
	}
}

func TestBatchOfWhichSomeAreAllowed(t *testing.T) {
	f := newFixture(t)
	home, other := f.namespace(), f.namespace()
	caller := f.caller(home, "dispatcher")
	f.grant(home, f.role([]string{"use"}, "newsletter", "invoices"), caller)
	f.settles(caller, "use", home, "invoices", true)

	earlier := errors.New("was wrong before")
	calls := []limiter.Call{
		{Key: limiter.Key{Namespace: home, Name: "newsletter"}},
		{Key: limiter.Key{Namespace: home, Name: "secret"}},
		{Key: limiter.Key{Namespace: home, Name: "secret"}, Err: earlier},
		{Key: limiter.Key{Namespace: other, Name: "newsletter"}},
		{Key: limiter.Key{Namespace: home, Name: "invoices"}},
		{Key: limiter.Key{Namespace: home, Name: "newsletter"}},
	}
	for i := range 500 {
		name := fmt.Sprintf("random-%d", i)
		if i%2 == 0 {
			name = "newsletter"
		}
		calls = append(calls, limiter.Call{Key: limiter.Key{Namespace: home, Name: name}})
	}
	for range 2 {
		asked := make([]limiter.Call, len(calls))
		copy(asked, calls)
		f.AuthorizeCalls(t.Context(), caller, "use", asked)
		for i, c := range asked {
			switch {
			case i == 2 && c.Err != earlier: //nolint:errorlint // it must be this very error
				t.Errorf("the call that had an error has %v", c.Err)
			case i == 2:
			case c.Key.Namespace == home && (c.Key.Name == "newsletter" || c.Key.Name == "invoices"):
				if c.Err != nil {
					t.Errorf("call %d, %v: %v", i, c.Key, c.Err)
				}
			default:
				wantProblem(t, c.Err, httpv1.Forbidden, "may not use")
			}
		}
		// home and other as a whole, and the four names and 250 random ones, each once.
		f.wantCount(accessPath, 2+4+250)
	}
}

func TestRightOfNamespaceIsAskedOnce(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	caller := f.caller(home, "dispatcher")
	f.grant(home, f.role([]string{"use"}), caller)
	f.settles(caller, "use", home, "any", true)
	calls := make([]limiter.Call, 1000)
	for i := range calls {
		calls[i].Key = limiter.Key{Namespace: home, Name: fmt.Sprintf("account-%d", i)}
	}
	f.AuthorizeCalls(t.Context(), caller, "use", calls)
	for _, c := range calls {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
	}
	f.wantCount(accessPath, 1)
}

func TestNamesThatNoAccountCanHaveAreNotAskedAbout(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	caller := f.caller(home, "dispatcher")
	for i := range 10 {
		name := fmt.Sprintf("Random_%d", i)
		wantProblem(t, f.authorize(caller, "use", home, name), httpv1.Forbidden, name)
		f.wantCount(accessPath, 1)
	}
	for i := range 10 {
		name := fmt.Sprintf("Random_%d", i)
		wantProblem(t, f.authorize(caller, "use", name, "newsletter"), httpv1.Forbidden, name)
		f.wantCount(accessPath, 2) // and one about all namespaces
	}
}

func TestPodsOfOneServiceAccountShareWhatIsKnown(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	sa := f.serviceAccount(home, "dispatcher")
	f.grant(home, f.role([]string{"use"}), userOf(sa))
	for i := range 5 {
		caller, err := f.Authenticate(t.Context(), f.token(sa, nil, audience))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			f.settles(caller, "use", home, "newsletter", true)
		}
		if err := f.authorize(caller, "use", home, "newsletter"); err != nil {
			t.Fatal(err)
		}
	}
	f.wantCount(tokenPath, 5)
	f.wantCount(accessPath, 1)
}

func TestRightThatIsRevokedWhileRemembered(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	caller := f.caller(home, "dispatcher")
	binding := f.grant(home, f.role([]string{"use"}, "newsletter"), caller)
	f.settles(caller, "use", home, "newsletter", true)
	if err := f.authorize(caller, "use", home, "newsletter"); err != nil {
		t.Fatal(err)
	}
	f.remove(binding)
	f.settles(caller, "use", home, "newsletter", false)
	f.advance(200 * time.Second)
	if err := f.authorize(caller, "use", home, "newsletter"); err != nil {
		t.Fatalf("the right is not remembered: %v", err)
	}
	f.advance(100 * time.Second)
	err := f.authorize(caller, "use", home, "newsletter")
	wantProblem(t, err, httpv1.Forbidden, "may not use")

	f.grant(home, f.role([]string{"use"}, "newsletter"), caller)
	f.settles(caller, "use", home, "newsletter", true)
	f.advance(29 * time.Second)
	err = f.authorize(caller, "use", home, "newsletter")
	wantProblem(t, err, httpv1.Forbidden, "may not use")
	f.advance(time.Second)
	if err := f.authorize(caller, "use", home, "newsletter"); err != nil {
		t.Errorf("the denial is remembered for longer than 30 s: %v", err)
	}
}

func TestProblemsSayWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	home := f.namespace()
	caller := f.caller(home, "dispatcher")
	who := "system:serviceaccount:" + home + ":dispatcher"
	for name, c := range map[string]struct {
		verb, namespace, name string
		want                  string
	}{
		"an account": {"use", "marketing", "newsletter", who +
			" may not use mailaccounts.sluice.dev/newsletter in the namespace marketing. Whoever " +
			"administers that namespace can grant it: kubectl create rolebinding " +
			"dispatcher-sends -n marketing --clusterrole=sluice-sender --serviceaccount=" + home +
			":dispatcher"},
		"the usage of one": {"get", "marketing", "newsletter", who +
			" may not get mailaccounts.sluice.dev/newsletter in the namespace marketing. Whoever " +
			"administers that namespace can grant it: kubectl create rolebinding " +
			"dispatcher-views -n marketing --clusterrole=sluice-viewer --serviceaccount=" + home +
			":dispatcher"},
		"the usage of a namespace": {"list", "marketing", "", who +
			" may not list mailaccounts.sluice.dev in the namespace marketing. Whoever " +
			"administers that namespace can grant it: kubectl create rolebinding " +
			"dispatcher-views -n marketing --clusterrole=sluice-viewer --serviceaccount=" + home +
			":dispatcher"},
		"the usage of all": {"list", "", "", who +
			" may not list mailaccounts.sluice.dev in all namespaces. Name one " +
			"(?namespace=NAME), or have an administrator of the cluster grant it: kubectl create " +
			"clusterrolebinding dispatcher-views --clusterrole=sluice-viewer --serviceaccount=" +
			home + ":dispatcher"},
		"no name": {"use", "marketing", "a\x1b[2J\xff", who + " may not use a " +
			"mailaccount.sluice.dev of the name \"a\\x1b[2J\ufffd\", which can be none, in the " +
			"namespace marketing."},
		"no namespace": {"use", "a\nb", "newsletter", who + " may not use " +
			"mailaccounts.sluice.dev in the namespace \"a\\nb\", which can be none."},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.authorize(caller, c.verb, c.namespace, c.name)
			var p *httpv1.Problem
			if !errors.As(err, &p) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(httpv1.Forbidden.Problem(c.want), p); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
