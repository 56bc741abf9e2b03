package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
)

// oneAccount is a reader that has one account, or an error.
type oneAccount struct {
	client.Reader
	object string
	err    error
}

func (o *oneAccount) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if o.err != nil {
		return o.err
	}
	return json.Unmarshal([]byte(o.object), into)
}

// TestLimitsReconciler looks at an account of uid-1 that has sent once, after its object became another one.
func TestLimitsReconciler(t *testing.T) {
	const inForce = 5 // a minute, of uid-1
	away := errors.New("the cache is away")
	for name, c := range map[string]struct {
		object string // with the uid uid-1
		uid    string // of what the limiter has
		err    error
		limit  int64 // a minute, afterwards; 0: the account is not found
		used   int64
		fails  bool
	}{
		"another limit moves the limit, and the history stays": {object: `{"limits":{"perMinute":2}}`, uid: "uid-1", limit: 2, used: 1},
		"another object starts empty":                          {object: `{"limits":{"perMinute":2}}`, uid: "uid-0", limit: 2},
		"an invalid spec leaves the account as it was":         {object: `{"limits":{"perMinute":0}}`, uid: "uid-1", limit: inForce, used: 1},
		"an odd spec leaves the account as it was":             {object: `{"limits":{"perMinute":"two"}}`, uid: "uid-1", limit: inForce, used: 1},
		"an invalid spec of another object purges the old one": {object: `{"limits":{"perMinute":0}}`, uid: "uid-0"},
		"an odd spec of another object purges the old one":     {object: `{"limits":{"perMinute":"two"}}`, uid: "uid-0"},
		"an object that is gone is purged":                     {uid: "uid-1", err: apierrors.NewNotFound(schema.GroupResource{}, "newsletter")},
		"one that cannot be read now is left alone, and tried again": {uid: "uid-1", err: away, limit: inForce, used: 1,
			fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			l, key, at := limiter.New(limiter.Options{}), limiter.Key{Namespace: "marketing", Name: "newsletter"}, limiter.Instant{Mono: 1}
			load := newInitialLoad(&firstList{names: []string{"marketing/newsletter"}}, l, logr.Discard())
			if err := load.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.Apply(key, c.uid, limiter.Policy{Limits: limiter.Limits{limiter.Minute: inForce}})
			reconciler := &limitsReconciler{reader: &oneAccount{object: objectWith(c.object), err: c.err}, limiter: l, load: load}
			l.MarkLoaded() // for this test to ask; what the first load waits for is asked of itself
			if _, err := l.Commit(at, key, "", 1); err != nil {
				t.Fatal(err)
			}
			result, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: nameOf("marketing/newsletter")})
			if (err != nil) != c.fails || result != (ctrl.Result{}) {
				t.Errorf("it returned %+v, %v", result, err)
			}
			if waits := len(load.pending) > 0; waits != c.fails {
				t.Errorf("the first load still waits for it: %v", waits)
			}
			u, err := l.Usage(at, key)
			if c.limit == 0 {
				if !errors.Is(err, limiter.ErrAccountNotFound) {
					t.Errorf("the account is still there: %+v, %v", u, err)
				}
				return
			}
			if err != nil || u.Policy.Limits[limiter.Minute] != c.limit || u.Windows[limiter.Minute].Used != c.used {
				t.Errorf("the usage is %+v, %v", u, err)
			}
		})
	}
}
