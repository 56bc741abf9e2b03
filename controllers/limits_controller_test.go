package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// oneAccount is a reader that has one account, or an error.
type oneAccount struct {
	client.Reader
	object string
	err    error
}

func (o *oneAccount) Get(
	_ context.Context,
	_ client.ObjectKey,
	into client.Object,
	_ ...client.GetOption,
) error {
	if o.err != nil {
		return o.err
	}
	return json.Unmarshal([]byte(o.object), into)
}

// TestLimitsReconciler looks at an account that has sent once, after its object became another one.
// The object has the uid uid-1.
func TestLimitsReconciler(t *testing.T) {
	const (
		valid   = `{"limits":{"perMinute":2}}`
		same    = `{"limits":{"perMinute":5}}`
		invalid = `{"limits":{"perMinute":0}}`
		odd     = `{"limits":{"perMinute":"two"}}`
	)
	var (
		gone = apierrors.NewNotFound(schema.GroupResource{}, "newsletter")
		away = errors.New("the cache is away")
		none = (*kept)(nil)

		before = &kept{limit: 5, used: 1}
		again  = &kept{limit: 5, used: 1, fails: true}
	)
	for name, c := range map[string]struct {
		uid  string // of what the limiter has, with a limit of 5
		spec string // of the object
		err  error  // there is no object to be read
		want *kept
		told bool // that a policy came into force
	}{
		"another limit is in force": {
			"uid-1", valid, nil, &kept{limit: 2, used: 1}, true,
		},
		"the same limit tells of nothing": {"uid-1", same, nil, before, false},
		"another object starts empty": {
			"uid-0", valid, nil, &kept{limit: 2}, true,
		},
		"an invalid spec leaves all as it was":          {"uid-1", invalid, nil, before, false},
		"an odd spec leaves all as it was":              {"uid-1", odd, nil, before, false},
		"another object with an invalid spec has none":  {"uid-0", invalid, nil, none, false},
		"another object with an odd spec has none":      {"uid-0", odd, nil, none, false},
		"an object that is gone has none":               {"uid-1", "", gone, none, false},
		"one that cannot be read now leaves all, also":  {"uid-1", "", away, again, false},
		"one of another uid that cannot be read, still": {"uid-0", "", away, again, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, at := limiter.New(memory.New(memory.Options{})), limiter.Instant{Mono: 1}
			key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
			gate := newReadinessGate(
				&firstList{names: []string{"marketing/newsletter"}},
				l,
				logr.Discard(),
			)
			if err := gate.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			limitertest.Apply(
				t,
				l,
				key,
				c.uid,
				limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Minute: 5}}},
			)
			l.MarkLoaded() // for this test to ask; what the first load waits for is asked of itself
			if _, err := l.Commit(t.Context(), at, key, "", 1); err != nil {
				t.Fatal(err)
			}
			reader := &oneAccount{object: objectWith(c.spec), err: c.err}
			name, told := nameOf("marketing/newsletter"), 0
			policyChanged := func(which types.NamespacedName) {
				told++
				policy, _ := l.PolicyInForce(key, "uid-1")
				if which != name || policy.Limits[limiter.Cost][limiter.Minute] != c.want.limit {
					t.Errorf("told of %s, while %+v is in force", which, policy)
				}
			}
			reconciler := &limitsReconciler{
				reader:        reader,
				limiter:       l,
				gate:          gate,
				policyChanged: policyChanged,
			}
			result, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: name})
			fails := c.want != nil && c.want.fails
			if (err != nil) != fails || result != (ctrl.Result{}) {
				t.Errorf("it returned %+v, %v", result, err)
			}
			if told > 1 || (told == 1) != c.told {
				t.Errorf("it told %d times that a policy came into force", told)
			}
			if waits := len(gate.pending) > 0; waits != fails {
				t.Errorf("the first load still waits for it: %v", waits)
			}
			c.want.hold(t, l, key, at)
		})
	}
}

// kept is what an account has afterwards. If it is nil there is no account.
type kept struct {
	limit, used int64 // of the minute
	fails       bool  // and the account is looked at again
}

func (k *kept) hold(t *testing.T, l *limiter.Limiter, key limiter.Key, at limiter.Instant) {
	t.Helper()
	u, err := l.Usage(t.Context(), at, key)
	if k == nil {
		if !errors.Is(err, limiter.ErrAccountNotFound) {
			t.Errorf("the account is still there: %+v, %v", u, err)
		}
		return
	}
	minute := limiter.Minute
	if err != nil || u.Policy.Limits[limiter.Cost][minute] != k.limit ||
		u.Window(limiter.Cost, minute).Used != k.used {
		t.Errorf("the usage is %+v, %v", u, err)
	}
}
