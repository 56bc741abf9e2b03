package controllers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/test/controlplane"
)

var _ redis.Keeper = (*controllers.EpochConfigMap)(nil)

// epochIn returns an EpochConfigMap of a namespace that only this test uses.
func epochIn(t *testing.T, c client.Client, namespace string) *controllers.EpochConfigMap {
	t.Helper()
	// A namespace that is deleted stays where nothing but an API server runs.
	err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := c.Delete(context.Background(), epochObject(namespace))
		if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return newEpochConfigMap(t, controlplane.Config, namespace)
}

func newEpochConfigMap(
	t *testing.T, config *rest.Config, namespace string,
) *controllers.EpochConfigMap {
	t.Helper()
	e, err := controllers.NewEpochConfigMap(config, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func wantEpoch(t *testing.T, e *controllers.EpochConfigMap, want string) {
	t.Helper()
	if got, err := e.Load(t.Context()); got != want || err != nil {
		t.Errorf("the epoch is %q, %v, want %q", got, err, want)
	}
}

// epochObject is the ConfigMap as people see it.
func epochObject(namespace string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "sluice-redis-epoch",
	}}
}

// TestEpochConfigMap keeps one epoch after the other, and refuses to forget one that is not known.
func TestEpochConfigMap(t *testing.T) {
	c := controlplane.Client(t)
	e := epochIn(t, c, "epoch")
	wantEpoch(t, e, "")
	refuse := func(was, because string) {
		t.Helper()
		err := e.Save(t.Context(), was, "wrong")
		if err == nil || !strings.Contains(err.Error(), because) ||
			!strings.Contains(err.Error(), "the ConfigMap epoch/sluice-redis-epoch") {
			t.Errorf("instead of %q: %v, want %q", was, err, because)
		}
	}
	refuse("older", "was deleted: it had the epoch older")
	for _, step := range [][2]string{{"", "first"}, {"first", "second"}} {
		if err := e.Save(t.Context(), step[0], step[1]); err != nil {
			t.Fatal(err)
		}
		wantEpoch(t, e, step[1])
		refuse("", "has the epoch "+step[1])
		refuse("older", "has the epoch "+step[1])
		wantEpoch(t, e, step[1])
	}

	// What others write into it stays, and none of it need be there.
	kept := epochObject("epoch")
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
		t.Fatal(err)
	}
	kept.Labels, kept.Annotations, kept.Data = map[string]string{"team": "mail"}, nil, nil
	if err := c.Update(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	wantEpoch(t, e, "")
	if err := e.Save(t.Context(), "", "third"); err != nil {
		t.Fatal(err)
	}
	wantEpoch(t, e, "third")
	err := c.Get(t.Context(), client.ObjectKeyFromObject(kept), kept)
	if err != nil || kept.Labels["team"] != "mail" {
		t.Errorf("the labels are %v, %v", kept.Labels, err)
	}
	if err := c.Delete(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	wantEpoch(t, e, "")
}

// TestEpochConfigMapOfManyReplicas has ten replicas save at the same time: one does, each time.
func TestEpochConfigMapOfManyReplicas(t *testing.T) {
	c := controlplane.Client(t)
	first := epochIn(t, c, "epoch-of-many")
	was := ""
	for round := range 5 {
		var saved atomic.Int64
		var wg sync.WaitGroup
		for n := range 10 {
			e := newEpochConfigMap(t, controlplane.Config, "epoch-of-many")
			wg.Go(func() {
				if e.Save(t.Context(), was, fmt.Sprint(round, "-", n)) == nil {
					saved.Add(1)
				}
			})
		}
		wg.Wait()
		if n := saved.Load(); n != 1 {
			t.Errorf("%d replicas have saved instead of %q", n, was)
		}
		var err error
		if was, err = first.Load(t.Context()); err != nil || !strings.HasPrefix(was, fmt.Sprint(round)) {
			t.Errorf("the epoch is %q, %v", was, err)
		}
	}
}

// TestEpochConfigMapNeedsItsRoleAlone has only the rights of config/rbac, and before that none.
func TestEpochConfigMapNeedsItsRoleAlone(t *testing.T) {
	c := controlplane.Client(t)
	const namespace = "sluice-system"
	epochIn(t, c, namespace)
	config := rest.CopyConfig(controlplane.Config)
	config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":sluice"
	e := newEpochConfigMap(t, config, namespace)
	_, err := e.Load(t.Context())
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "redis_epoch_role.yaml") {
		t.Errorf("without a role: %v", err)
	}
	grant(t, c, "redis_epoch_role.yaml", "sluice-redis-epoch")
	grant(t, c, "bindings.yaml", "sluice-redis-epoch")
	controlplane.Eventually(t, "the role is in force", func() error {
		_, err := e.Load(t.Context())
		return err
	})
	controlplane.Eventually(t, "an epoch is kept", func() error {
		return e.Save(t.Context(), "", "first")
	})
	if err := e.Save(t.Context(), "first", "second"); err != nil {
		t.Error(err)
	}
	wantEpoch(t, e, "second")

	other := epochObject(namespace)
	other.Name = "another"
	create(t, c, other)
	as, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"get":    as.Get(t.Context(), client.ObjectKeyFromObject(other), other),
		"list":   as.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(namespace)),
		"update": as.Update(t.Context(), other),
		"delete": as.Delete(t.Context(), epochObject(namespace)),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// grant creates an object of config/rbac.
func grant(t *testing.T, c client.Client, file, name string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(controlplane.Root, "config", "rbac", file))
	if err != nil {
		t.Fatal(err)
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			t.Fatalf("%s has no %s", file, name)
		} else if err != nil {
			t.Fatal(err)
		}
		if object.GetName() == name && object.GroupVersionKind().Group == rbacv1.GroupName {
			create(t, c, &object)
			return
		}
	}
}

// TestEpochConfigMapWithoutAnAPIServer wants an error, and no epoch.
func TestEpochConfigMapWithoutAnAPIServer(t *testing.T) {
	config := rest.CopyConfig(controlplane.Config)
	config.Host = "127.0.0.1:1"
	e := newEpochConfigMap(t, config, "default")
	if got, err := e.Load(t.Context()); err == nil || got != "" {
		t.Errorf("it loads %q", got)
	}
	if err := e.Save(t.Context(), "", "epoch"); err == nil {
		t.Error("it saves")
	}
	config.TLSClientConfig = rest.TLSClientConfig{CAFile: "/nowhere"}
	if _, err := controllers.NewEpochConfigMap(config, "default"); err == nil {
		t.Error("it begins with a configuration that makes no client")
	}
}
