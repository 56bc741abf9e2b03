package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/test/controlplane"
)

// release is one that Helm keeps in the cluster. Its pods do not run.
type release struct {
	t         *testing.T
	client    client.Client
	version   string // of Helm
	namespace string
	values    string // that it always has
	env       []string
}

func newRelease(t *testing.T, version string) *release {
	t.Helper()
	r := &release{
		t: t, client: controlplane.Client(t), version: version, namespace: "helm-" + version,
		values: "crds.enabled=false,tls.type=helm,",
	}
	if version == "v3" { // there is one release with roles in a cluster
		r.values += "rbac.create=false,"
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	if err := r.client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	r.env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(),
		"KUBECONFIG="+startFreezer(t).kubeconfig)
	t.Cleanup(func() {
		if out, err := r.helm(context.Background(), "uninstall", "sluice"); err != nil {
			t.Error(out, err)
		}
	})
	return r
}

func (r *release) helm(ctx context.Context, args ...string) (string, error) {
	helm := exec.CommandContext(ctx, "go", append([]string{
		"tool", "-modfile=../../go.tools.mod", "helm.sh/helm/" + r.version + "/cmd/helm",
		"--namespace", r.namespace,
	}, args...)...)
	helm.Env = r.env
	out, err := helm.CombinedOutput()
	return string(out), err
}

// apply installs or upgrades the release with these values, and no others.
func (r *release) apply(values string) (string, error) {
	r.t.Helper()
	args := []string{"upgrade", "--install", "sluice", chart, "--set", r.values + values}
	if r.version == "v4" {
		args = append(args, "--force-conflicts") // of what the test has changed
	}
	return r.helm(r.t.Context(), args...)
}

func (r *release) must(values string) {
	r.t.Helper()
	if out, err := r.apply(values); err != nil {
		r.t.Fatal(out, err)
	}
}

func (r *release) secret(name string) *corev1.Secret {
	r.t.Helper()
	s := &corev1.Secret{}
	key := client.ObjectKey{Namespace: r.namespace, Name: name}
	if err := r.client.Get(r.t.Context(), key, s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// pretend has a Secret say that it ends so many days from now.
func (r *release) pretend(name string, days int) {
	r.t.Helper()
	s := r.secret(name)
	before := client.MergeFrom(s.DeepCopy())
	s.Annotations["sluice.dev/ends"] = time.Now().AddDate(0, 0, days).Format(time.RFC3339)
	if err := r.client.Patch(r.t.Context(), s, before); err != nil {
		r.t.Fatal(err)
	}
}

// verified returns the Secret of the certificate, which its first authority vouches for, under
// every name.
func (r *release) verified(names ...string) *corev1.Secret {
	r.t.Helper()
	s := r.secret("sluice-tls")
	parse := func(text []byte) *x509.Certificate {
		r.t.Helper()
		block, _ := pem.Decode(text)
		if block == nil {
			r.t.Fatalf("no certificate in %s", text)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.t.Fatal(err)
		}
		return c
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(parse(s.Data["ca.crt"]))
	leaf := parse(s.Data["tls.crt"])
	host := "sluice." + r.namespace
	for _, name := range append(names, "sluice", host, host+".svc", host+".svc.cluster.local",
		"localhost", "127.0.0.1") {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: trusted, DNSName: name}); err != nil {
			r.t.Error(err)
		}
	}
	if got := s.Annotations["sluice.dev/ends"]; got != leaf.NotAfter.UTC().Format(time.RFC3339) {
		r.t.Errorf("the Secret says that it ends %s, the certificate %s", got, leaf.NotAfter)
	}
	return s
}

// TestReleaseIsUpgraded has a cluster keep a release, as helm template cannot: without
// authentication at first, and with a certificate of Helm's that it keeps, until it must not.
func TestReleaseIsUpgraded(t *testing.T) {
	withHelm(t)
	for _, version := range []string{"v3", "v4"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRelease(t, version)
			r.must("auth.type=none")
			first := r.verified()

			out, err := r.apply("log.level=info")
			if err == nil || !strings.Contains(out, "auth.type is not given") {
				t.Errorf("the upgrade of a release without authentication ended with %v, %s", err, out)
			}
			r.must("auth.type=kubernetes")
			r.must("log.level=info") // it has authentication now
			if second := r.verified(); !bytes.Equal(first.Data["tls.key"], second.Data["tls.key"]) ||
				!bytes.Equal(first.Data["tls.crt"], second.Data["tls.crt"]) ||
				!bytes.Equal(first.Data["ca.crt"], second.Data["ca.crt"]) {
				t.Error("an upgrade has made another certificate")
			}

			r.pretend("sluice-tls", 100)
			r.must("log.level=info")
			renewed := r.verified()
			if bytes.Equal(first.Data["tls.key"], renewed.Data["tls.key"]) {
				t.Error("a certificate with less than a third left was not renewed")
			}
			if !bytes.Equal(first.Data["ca.crt"], renewed.Data["ca.crt"]) {
				t.Error("callers have to learn of a renewed certificate")
			}

			r.must("tls.dnsNames={limits.example.com}")
			r.verified("limits.example.com")

			r.pretend("sluice-ca", 1000)
			r.must("log.level=info")
			old, bundle := first.Data["ca.crt"], r.verified().Data["ca.crt"]
			if bytes.Equal(bundle, old) || !bytes.HasSuffix(bundle, old) {
				t.Errorf("the renewed authority is not followed by the old one:\n%s", bundle)
			}
			r.must("log.level=debug")
			if again := r.verified().Data["ca.crt"]; !bytes.Equal(again, bundle) {
				t.Errorf("the next upgrade has changed the authorities to\n%s", again)
			}
		})
	}
}
