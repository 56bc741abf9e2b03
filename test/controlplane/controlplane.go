// Package controlplane runs tests against a real kube-apiserver and etcd.
//
//   - controlplane.go: starts them, for a package or for one test.
//   - senders.go: ServiceAccounts that may send, and their tokens.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

// Root is the root of the repository.
var Root = func() string {
	_, file, _, _ := goruntime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}()

// CRDs is the folder of CustomResourceDefinitions.
var CRDs = filepath.Join(Root, "config", "crd", "sluice.dev_mailaccounts.yaml")

// Config reaches the control plane while Run runs.
var Config *rest.Config

// Run runs a package's tests with a control plane that knows MailAccounts. It is for TestMain.
func Run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd; "+
			"`make test` builds them and sets it")
		return 1
	}
	environment := newEnvironment()
	config, err := environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the control plane:", err)
		return 1
	}
	Config = config
	code := m.Run()
	if err := environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		return 1
	}
	return code
}

// Start starts a control plane that knows MailAccounts, until the test or benchmark ends. It is for
// packages whose other tests need none.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	environment := newEnvironment()
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("start the control plane: %v; KUBEBUILDER_ASSETS must name a folder with "+
			"kube-apiserver and etcd", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	return config
}

func newEnvironment() *envtest.Environment {
	return &envtest.Environment{
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths: []string{CRDs}, ErrorIfPathMissing: true,
		},
		ControlPlaneStartTimeout: time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
}

// Client returns a client that refuses unknown fields, as kubectl does.
func Client(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, "Strict")
}

// Eventually asks until there is no error, for up to 30 seconds.
func Eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 30*time.Second, true,
		func(context.Context) (bool, error) {
			last = ask()
			return last == nil, nil
		})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}
