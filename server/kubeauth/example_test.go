package kubeauth_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/server"
	"github.com/sluice-mail/sluice/server/kubeauth"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func Example() {
	// In a pod, the config is that of rest.InClusterConfig.
	auth, err := kubeauth.New(kubeauth.Options{
		Config:   controlplane.Config,
		Audience: "sluice",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var _ server.Auth = auth

	_, err = auth.Authenticate(context.Background(), "a password")
	if problem, ok := errors.AsType[*httpv1.Problem](err); ok {
		fmt.Println(problem.Status, problem.Title)
	}
	// Output: 401 It is not known who calls
}
