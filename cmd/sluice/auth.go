package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/sluice-mail/sluice/server/kubeauth"
)

// Who may call.
const (
	authKubernetes = "kubernetes" // whoever RBAC lets
	authNone       = "none"       // everybody who reaches the API
)

const defaultAudience = "sluice"

// maxAudience is far longer than any audience is.
const maxAudience = 253

// authConfig says how it is decided who may call.
type authConfig struct {
	mode     string // empty: the default, which depends on where MailAccounts come from
	audience string
}

func (c *authConfig) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.mode, "auth", "",
		"who may call: kubernetes (each caller sends the token of a ServiceAccount, and needs the "+
			"right to the account in RBAC) or none (everybody) (default kubernetes; none with "+
			"--accounts)")
	flags.StringVar(&c.audience, "auth-audience", defaultAudience,
		"with --auth=kubernetes: the audience that tokens must be for")
}

func (c *authConfig) validate() error {
	switch {
	case c.mode != "" && c.mode != authKubernetes && c.mode != authNone:
		return fmt.Errorf("--auth must be %s or %s, not %q", authKubernetes, authNone, c.mode)
	case c.audience == "" || len(c.audience) > maxAudience ||
		strings.ContainsFunc(c.audience, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("--auth-audience must be 1 to %d visible ASCII characters, not %q",
			maxAudience, c.audience)
	case c.mode == authNone && c.audience != defaultAudience:
		return errors.New("--auth-audience is about tokens, which --auth=none does not ask for")
	}
	return nil
}

// authMode returns who may call, as the flags say or by default.
func (c *config) authMode() string {
	switch {
	case c.auth.mode != "":
		return c.auth.mode
	case c.accounts != "":
		return authNone
	}
	return authKubernetes
}

// authCluster returns the cluster that knows who calls, or nil if everybody may.
func (c *config) authCluster(log logr.Logger) (*rest.Config, error) {
	if c.authMode() == authNone {
		if c.accounts == "" {
			log.Info("everybody who reaches the API may spend the limits of every account, " +
				"because of --auth=none")
		}
		return nil, nil
	}
	cluster, err := kubeconfig.GetConfig()
	switch {
	case err != nil && c.accounts == "":
		return nil, noCluster(err)
	case err != nil:
		return nil, fmt.Errorf("--auth=kubernetes needs a cluster to ask who calls: "+
			"run inside one, set KUBECONFIG, or use --auth=none (%w)", err)
	}
	return cluster, nil
}

// newAuth returns what decides who may call.
func (c *config) newAuth(
	cluster *rest.Config, registry prometheus.Registerer, log logr.Logger,
) (*kubeauth.Auth, error) {
	return kubeauth.New(kubeauth.Options{
		Config: cluster, Audience: c.auth.audience, Registry: registry, Log: log,
	})
}
