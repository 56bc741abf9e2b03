package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	applyv1alpha1 "github.com/sluice-mail/sluice/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// applied is how many accounts are applied.
const applied = 100

// apply measures the time from the start of an apply to the first answer about the account.
func apply(ctx context.Context, binary string) (r row, err error) {
	ctrl.SetLogger(logr.Discard())
	existing := os.Getenv("KUBECONFIG") != ""
	environment := &envtest.Environment{
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths: []string{controlplane.CRDs}, ErrorIfPathMissing: true,
		},
		UseExistingCluster:       &existing,
		ControlPlaneStartTimeout: time.Minute,
	}
	config, err := environment.Start()
	if err != nil {
		return r, fmt.Errorf("start the control plane (`make fidelity` builds one and sets "+
			"KUBEBUILDER_ASSETS): %w", err)
	}
	defer func() { err = errors.Join(err, environment.Stop()) }()
	c, err := newKubeClient(config)
	if err != nil {
		return r, err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := c.Create(ctx, space); err != nil && !apierrors.IsAlreadyExists(err) {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Delete(context.WithoutCancel(ctx), space)) }()
	p, err := startCluster(ctx, binary, environment.KubeConfig)
	if err != nil {
		return r, err
	}
	defer p.stop()
	whole, after, err := applyAll(ctx, c, p)
	if err != nil {
		return r, err
	}
	cluster := "of a real kube-apiserver with etcd, and nothing else, on this machine"
	if existing {
		cluster = "of the cluster that KUBECONFIG names"
	}
	return row{
		what: "apply to enforcement", ideal: "as soon as the API server tells",
		how: fmt.Sprintf("%d accounts, one after the other, by server-side apply through the API %s, "+
			"until the HTTP API first answers for the account",
			len(whole), cluster),
		measured: fmt.Sprintf("p50 **%s**, p99 **%s**, max **%s** from the start of the apply; %s, %s, "+
			"%s from its return",
			ms(quantile(whole, 0.5)), ms(quantile(whole, 0.99)), ms(quantile(whole, 1)),
			ms(quantile(after, 0.5)), ms(quantile(after, 0.99)), ms(quantile(after, 1))),
		meaning: "A new account is enforced as soon as Kubernetes tells Sluice of it. The start of a " +
			"`kubectl` process is not included.",
	}, nil
}

func newKubeClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// startCluster starts a Sluice that takes its accounts from the cluster, and waits until it has
// loaded them.
func startCluster(ctx context.Context, binary string, kubeconfig []byte) (*process, error) {
	dir, err := os.MkdirTemp("", "sluice-fidelity-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p, err := start(ctx, binary, []string{"KUBECONFIG=" + file}, "--lease-namespace", namespace,
		"--auth", "none")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.folder = dir
	for !p.loaded(ctx) {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p, nil
}

func (p *process) loaded(ctx context.Context) bool {
	_, err := p.client.List(ctx, sluice.ListRequest{Limit: 1})
	return err == nil
}

// applyAll applies one account after the other. It returns how long each took until it was served,
// sorted.
func applyAll(
	ctx context.Context, c client.Client, p *process,
) (whole, after []time.Duration, err error) {
	for i := range applied {
		a := &account{process: p, name: fmt.Sprintf("apply-%d", i)}
		object := applyv1alpha1.MailAccount(a.name, namespace).
			WithSpec(applyv1alpha1.MailAccountSpec().WithLimits(applyv1alpha1.Limits().WithPerMinute(1)))
		began := time.Now()
		if err := c.Apply(ctx, object, client.FieldOwner("fidelity")); err != nil {
			return nil, nil, err
		}
		returned := time.Now()
		for {
			_, err := a.usage(ctx)
			if err == nil {
				break
			}
			if time.Since(returned) > time.Minute {
				return nil, nil, fmt.Errorf("%s is not served: %w", a.name, err)
			}
		}
		whole, after = append(whole, time.Since(began)), append(after, time.Since(returned))
	}
	slices.Sort(whole)
	slices.Sort(after)
	return whole, after, nil
}
