package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// tokenOf makes a ServiceAccount, and returns a token of it for the API server, as Prometheus has.
func tokenOf(t *testing.T, name string) string {
	t.Helper()
	c := controlplane.Client(t)
	account := &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
	}
	if err := c.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

func screenOf(t *testing.T) screen {
	t.Helper()
	auth, err := kubeauth.New(kubeauth.Options{Config: controlplane.Config, Audience: "sluice"})
	if err != nil {
		t.Fatal(err)
	}
	return auth.Screen
}

// TestMetricsAreForTheirReaders asks with tokens of the API server's.
func TestMetricsAreForTheirReaders(t *testing.T) {
	c := controlplane.Client(t)
	text, err := os.ReadFile(filepath.Join(controlplane.Root, "config/rbac/metrics_reader_role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		t.Fatal(err)
	}
	reader, stranger := tokenOf(t, "metrics-reader"), tokenOf(t, "metrics-stranger")
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader"},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "sluice-metrics-reader",
		},
		Subjects: []rbacv1.Subject{{
			Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "metrics-reader",
		}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Delete(context.Background(), object); err != nil {
				t.Error(err)
			}
		})
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_secret"}))
	protected, err := metricsHandler(registry, controlplane.Config, screenOf(t))
	if err != nil {
		t.Fatal(err)
	}
	open, err := metricsHandler(registry, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]struct {
		handler            http.Handler
		method, path, auth string
		want               int
	}{
		"no token": {protected, "GET", "/metrics", "", 401},
		// The filter does not tell a bad token from an API server that is away.
		"a token that is none":      {protected, "GET", "/metrics", "Bearer a.b.c", 500},
		"another scheme":            {protected, "GET", "/metrics", "Basic YTpi", 401},
		"a token without the right": {protected, "GET", "/metrics", "Bearer " + stranger, 403},
		"a token with the right":    {protected, "GET", "/metrics", "Bearer " + reader, 200},
		"a query":                   {protected, "GET", "/metrics?name=a", "Bearer " + reader, 200},
		"a right to read only":      {protected, "POST", "/metrics", "Bearer " + reader, 405},
		// Whoever has a token may get /healthz of the API server.
		"a path that all may get": {protected, "GET", "/healthz", "Bearer " + stranger, 404},
		"nobody asks who it is":   {open, "GET", "/metrics", "", 200},
		"and the path is one":     {open, "GET", "/", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(ask.handler)
			defer s.Close()
			request, err := http.NewRequestWithContext(t.Context(), ask.method, s.URL+ask.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ask.auth != "" {
				request.Header.Set("Authorization", ask.auth)
			}
			resp, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			told := strings.Contains(string(body), "sluice_secret")
			if resp.StatusCode != ask.want || told != (ask.want == 200) {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, ask.want)
			}
		})
	}
}

// TestFloodOfBadTokensKeepsNoReaderOut has callers send tokens that nobody has signed, and then one
// whose token is new. That it may not read is what the API server says.
func TestFloodOfBadTokensKeepsNoReaderOut(t *testing.T) {
	good := tokenOf(t, "metrics-late")
	handler, err := metricsHandler(prometheus.NewRegistry(), controlplane.Config, screenOf(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) int {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	signed, _, _ := strings.Cut(good[strings.LastIndex(good, ".")+1:], "=")
	head := strings.TrimSuffix(good, signed)
	var flood sync.WaitGroup
	defer flood.Wait()
	var sent atomic.Int32
	for i := range 100 {
		flood.Go(func() {
			for n := range 20 {
				ask(head + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", i, n)))
				sent.Add(1)
			}
		})
	}
	for sent.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	if got := ask(good); got != http.StatusForbidden {
		t.Errorf("got %d, want %d", got, http.StatusForbidden)
	}
}
