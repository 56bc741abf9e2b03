package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

func TestAccountsComeAndGo(t *testing.T) {
	c, r := controlplane.Client(t), start(t)
	r.waitLoaded(t)
	account := newAccount("comes-and-goes", 2)
	create(t, c, account)
	r.waitUsage(t, account.Name, "is enforced", perMinute(2))

	key := limiter.Key{Namespace: "default", Name: account.Name}
	if _, err := r.limiter.Commit(t.Context(), limiter.Instant{}, key, "", 1); err != nil {
		t.Fatal(err)
	}
	change(t, c, account, func() { *account.Spec.Limits.PerMinute = 5 })
	r.waitUsage(t, account.Name, "the edit moves the limit and keeps the history",
		func(u limiter.Usage, err error) bool {
			return perMinute(5)(u, err) && u.Window(limiter.Cost, limiter.Minute).Used == 1
		})

	if err := c.Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	r.waitUsage(t, account.Name, "the delete purges", func(_ limiter.Usage, err error) bool {
		return errors.Is(err, limiter.ErrAccountNotFound)
	})
	create(t, c, newAccount(account.Name, 2))
	r.waitUsage(t, account.Name, "the same name starts empty",
		func(u limiter.Usage, err error) bool {
			return perMinute(2)(u, err) && u.Window(limiter.Cost, limiter.Minute).Used == 0
		})
}

// TestAnotherUIDPurges deletes and creates an account while nobody watches, and restarts nothing:
// all that the controller sees is one object with another uid.
func TestAnotherUIDPurges(t *testing.T) {
	c, r := controlplane.Client(t), start(t)
	r.waitLoaded(t)
	account := newAccount("another-uid", 2)
	create(t, c, account)
	r.waitUsage(t, account.Name, "is enforced", perMinute(2))
	key := limiter.Key{Namespace: "default", Name: account.Name}
	limitertest.Apply(t, r.limiter, key, "an-older-uid", limiter.Policy{})
	if _, err := r.limiter.Commit(t.Context(), limiter.Instant{}, key, "", 1); err != nil {
		t.Fatal(err)
	}
	change(t, c, account, func() { account.Annotations = map[string]string{"touched": "yes"} })
	r.waitUsage(t, account.Name, "starts empty", func(u limiter.Usage, err error) bool {
		return perMinute(2)(u, err) && u.Window(limiter.Cost, limiter.Minute).Used == 0
	})
}

func TestStatusTellsWhatIsInForce(t *testing.T) {
	c := controlplane.Client(t)
	r := start(t)
	account := newAccount("status", 2)
	create(t, c, account)
	ready := waitCondition(t, c, account, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	if ready.Message != "Enforcing 2 per minute." || account.Status.ObservedGeneration == nil ||
		*account.Status.ObservedGeneration != account.Generation {
		t.Errorf("the status is %+v", account.Status)
	}
	since := ready.LastTransitionTime

	suspend := true
	change(t, c, account, func() { account.Spec.Suspend = &suspend })
	ready = waitCondition(t, c, account, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	if !ready.LastTransitionTime.Equal(&since) {
		t.Error("the transition time moved, and the readiness did not change")
	}
	waitEvents(t, c, account, v1alpha1.ReasonLimitsEnforced)

	// A restart with nothing changed writes nothing. The other account is written after this one
	// was looked at.
	r.stop()
	version := account.ResourceVersion
	start(t)
	other := newAccount("status-other", 1)
	create(t, c, other)
	waitCondition(t, c, other, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(account), account); err != nil ||
		account.ResourceVersion != version {
		t.Errorf(
			"a restart wrote the status again: version %s became %s, %v", version,
			account.ResourceVersion, err,
		)
	}
}

// waitEvents waits until the events about an account are exactly those, in order.
func waitEvents(t *testing.T, c client.Client, account *v1alpha1.MailAccount, reasons ...string) {
	t.Helper()
	controlplane.Eventually(t, "events", func() error {
		var list eventsv1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
			return err
		}
		var got []string
		for _, e := range list.Items {
			if e.Regarding.UID == account.UID {
				got = append(got, e.Reason)
			}
		}
		if strings.Join(got, " ") != strings.Join(reasons, " ") {
			return fmt.Errorf("the events are %v, want %v", got, reasons)
		}
		return nil
	})
}

// TestGateOpensOnceAllIsLoaded looks at the instant at which the limiter opens: every account must
// be in it. Then it stops the replica in the middle of its first statuses, which is no error.
func TestGateOpensOnceAllIsLoaded(t *testing.T) {
	c := controlplane.Client(t)
	const n = 300
	for i := range n {
		create(t, c, newAccount(fmt.Sprintf("gate-%03d", i), 1))
	}
	for range 3 {
		r := start(t)
		for !r.limiter.Loaded() { // without a pause, so as not to miss the instant
			if t.Context().Err() != nil {
				t.Fatal("not loaded in time")
			}
		}
		for i := range n {
			key := limiter.Key{Namespace: "default", Name: fmt.Sprintf("gate-%03d", i)}
			if _, err := r.limiter.Usage(t.Context(), limiter.Instant{}, key); err != nil {
				t.Fatalf("the limiter opened without account %d: %v", i, err)
			}
		}
		r.stop()
		if r.log.contains("Reconciler error") {
			t.Errorf("a replica that stops logged an error:\n%s", r.log.text.String())
		}
	}
}

// TestResyncChangesNothing wants accounts that are looked at again, and again, to stay as they are:
// no change of the limiter, no write to the API server, and no use forgotten.
func TestResyncChangesNothing(t *testing.T) {
	c := controlplane.Client(t)
	account := newAccount("resynced", 2)
	create(t, c, account)
	r := start(t, func(o *ctrl.Options) { o.Cache.SyncPeriod = new(100 * time.Millisecond) })
	waitCondition(t, c, account, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	r.waitUsage(t, account.Name, "is enforced", perMinute(2))
	key := limiter.Key{Namespace: "default", Name: account.Name}
	if _, err := r.limiter.Commit(t.Context(), limiter.Instant{}, key, "", 1); err != nil {
		t.Fatal(err)
	}
	changes, version := r.log.count("limits in force"), account.ResourceVersion
	before := reconciled(t)
	controlplane.Eventually(t, "it is looked at again by both controllers, many times",
		func() error {
			if times := reconciled(t) - before; times < 8 {
				return fmt.Errorf("it was looked at %g times", times)
			}
			return nil
		})
	if now := r.log.count("limits in force"); changes == 0 || now != changes {
		t.Errorf("the limiter was changed %d times before, and %d times now", changes, now)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(account), account); err != nil ||
		account.ResourceVersion != version {
		t.Errorf("version %s became %s (%v)", version, account.ResourceVersion, err)
	}
	r.waitUsage(t, account.Name, "is remembered", func(u limiter.Usage, err error) bool {
		return err == nil && u.Window(limiter.Cost, limiter.Minute).Used == 1
	})
}

// TestOlderSchema lets an object past the schema, as an older CustomResourceDefinition would.
func TestOlderSchema(t *testing.T) {
	c, r := controlplane.Client(t), start(t)
	r.waitLoaded(t)
	account := newAccount("older-schema", 3)
	create(t, c, account)
	waitCondition(t, c, account, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)

	withoutRules(t)
	controlplane.Eventually(t, "the older schema is in force", func() error {
		// A new copy for each try: a refused patch leaves its change in the object.
		changed := account.DeepCopy()
		*changed.Spec.Limits.PerMinute = 0
		return c.Patch(t.Context(), changed, client.MergeFrom(account))
	})
	ready := waitCondition(t, c, account, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	for _, want := range []string{
		"spec.limits.perMinute", "must be 1 or more", "limits before this change stay in force",
	} {
		if !strings.Contains(ready.Message, want) {
			t.Errorf("the message %q does not say %q", ready.Message, want)
		}
	}
	r.waitUsage(t, account.Name, "the last good limit stays", perMinute(3))
	waitEvents(t, c, account, v1alpha1.ReasonLimitsEnforced, v1alpha1.ReasonInvalidSpec)

	other := newAccount("older-schema-other", 5)
	create(t, c, other)
	fresh := newAccount("older-schema-new", -1)
	create(t, c, fresh)
	ready = waitCondition(t, c, fresh, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	if !strings.Contains(ready.Message, "No limits are in force") {
		t.Errorf("the message is %q", ready.Message)
	}

	// An invalid object leaves nothing in force of one that had its name before.
	key := limiter.Key{Namespace: "default", Name: fresh.Name}
	limitertest.Apply(t, r.limiter, key, "an-older-uid", limiter.Policy{})
	if _, err := r.limiter.Commit(t.Context(), limiter.Instant{}, key, "", 1); err != nil {
		t.Fatal(err)
	}
	change(t, c, fresh, func() { fresh.Annotations = map[string]string{"touched": "yes"} })
	r.waitUsage(t, fresh.Name, "the account before it is purged",
		func(_ limiter.Usage, err error) bool {
			return errors.Is(err, limiter.ErrAccountNotFound)
		})

	// What does not even fit the type stands alone: the others go on.
	odds := oddAccounts(t, c)
	change(t, c, other, func() { *other.Spec.Limits.PerMinute = 7 })
	r.waitUsage(t, other.Name, "its edit is in force", perMinute(7))
	r.stop()
	again := start(t) // a first list with such objects, too
	again.waitLoaded(t)
	again.waitUsage(t, other.Name, "a new replica has it", perMinute(7))
	last := newAccount("older-schema-last", 1) // written after the others were looked at
	create(t, c, last)
	waitCondition(t, c, last, metav1.ConditionTrue, v1alpha1.ReasonLimitsEnforced)
	for _, odd := range odds {
		name, version := client.ObjectKeyFromObject(odd), odd.GetResourceVersion()
		if err := c.Get(t.Context(), name, odd); err != nil || odd.GetResourceVersion() != version {
			t.Errorf("a restart wrote the status of %s again: version %s became %s, %v",
				name, version, odd.GetResourceVersion(), err)
		}
	}
}

// oddAccounts creates objects whose limit is no int32, and waits until their status says so. Then
// it makes their conditions old.
func oddAccounts(t *testing.T, c client.Client) (odds []*unstructured.Unstructured) {
	t.Helper()
	for name, limit := range map[string]any{
		"too-large": int64(1) << 31, "ten": "ten", "fraction": 1.5,
	} {
		odd := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "sluice.dev/v1alpha1", "kind": "MailAccount",
			"metadata": map[string]any{"name": "odd-" + name, "namespace": "default"},
			"spec":     map[string]any{"limits": map[string]any{"perMinute": limit}},
		}}
		if err := c.Create(t.Context(), odd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(context.Background(), odd) })
		odds = append(odds, odd)
		controlplane.Eventually(t, "the status of "+odd.GetName(), func() error {
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(odd), odd); err != nil {
				return err
			}
			status := fmt.Sprint(odd.Object["status"])
			if !strings.Contains(status, "InvalidSpec") ||
				!strings.Contains(status, "spec.limits.perMinute: must be of type int32") {
				return fmt.Errorf("it is %s", status)
			}
			return nil
		})
	}
	for _, odd := range odds {
		longAgo(t, c, odd)
	}
	return odds
}

// longAgo has an object's condition be of long ago, so that one that is written again differs.
func longAgo(t *testing.T, c client.Client, object *unstructured.Unstructured) {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil || len(conditions) != 1 {
		t.Fatalf("the conditions are %v, %v", conditions, err)
	}
	condition, ok := conditions[0].(map[string]any)
	if !ok {
		t.Fatalf("the condition is %v", conditions[0])
	}
	condition["lastTransitionTime"] = "2020-01-02T03:04:05Z"
	err = unstructured.SetNestedSlice(object.Object, conditions, "status", "conditions")
	if err := errors.Join(err, c.Status().Update(t.Context(), object)); err != nil {
		t.Fatal(err)
	}
}

// withoutRules lets limits be anything at all until the test ends.
func withoutRules(t *testing.T) {
	t.Helper()
	current := envtest.CRDInstallOptions{Paths: []string{controlplane.CRDs}}
	crds, err := envtest.InstallCRDs(controlplane.Config, current)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := envtest.InstallCRDs(controlplane.Config, current); err != nil {
			t.Error(err)
		}
	})
	older := crds[0].DeepCopy()
	spec := older.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	for name := range spec.Properties["limits"].Properties {
		anything := apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: new(true)}
		spec.Properties["limits"].Properties[name] = anything
	}
	_, err = envtest.InstallCRDs(controlplane.Config, envtest.CRDInstallOptions{
		CRDs: []*apiextensionsv1.CustomResourceDefinition{older},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWaitsForTheDefinition starts a replica before the CustomResourceDefinition is installed.
func TestWaitsForTheDefinition(t *testing.T) {
	options := envtest.CRDInstallOptions{Paths: []string{controlplane.CRDs}}
	if err := envtest.UninstallCRDs(controlplane.Config, options); err != nil {
		t.Fatal(err)
	}
	c := controlplane.Client(t)
	controlplane.Eventually(t, "the definition is gone", func() error {
		if err := c.List(t.Context(), &v1alpha1.MailAccountList{}); err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
	r := start(t)
	controlplane.Eventually(t, "it says what is missing", func() error {
		if !r.log.contains("CustomResourceDefinition mailaccounts.sluice.dev is not installed") {
			return errors.New("nothing in the log")
		}
		return nil
	})
	if r.limiter.Loaded() {
		t.Error("it opened without knowing any account")
	}
	if _, err := envtest.InstallCRDs(controlplane.Config, options); err != nil {
		t.Fatal(err)
	}
	r.waitLoaded(t) // also with no account at all
}
