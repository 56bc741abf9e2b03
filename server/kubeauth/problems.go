package kubeauth

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// What callers are told. No token is ever repeated.
var (
	problemMalformed = httpv1.Unauthenticated.Problem(
		"The token is not one that Kubernetes issues. Send the token of a ServiceAccount, " +
			"projected into the pod.")
	problemExpired = httpv1.Unauthenticated.Problem(
		"The token has expired. Read it from its file again for each call: the kubelet " +
			"replaces it in time.")
	problemNotYet = httpv1.Unauthenticated.Problem(
		"The token is not valid yet. One of the clocks of the cluster is wrong.")
	problemForged = httpv1.Unauthenticated.Problem(
		"The token was not signed by this cluster.")
	problemUnknown = httpv1.Unauthenticated.Problem(
		"Kubernetes does not accept the token: its ServiceAccount or pod was deleted, or it is " +
			"of another cluster. Read it from its file again.")
	problemNoServiceAccount = httpv1.Unauthenticated.Problem(
		"The token is not one of a ServiceAccount. Only ServiceAccounts call Sluice.")

	problemUnavailable = httpv1.NotReady.Problem(
		"The API server of Kubernetes does not say who calls, or what they may do. Try again.")
	problemShedToken = httpv1.Overloaded.Problem(
		"Too many tokens wait to be reviewed. Try again.")
	problemShedRights = httpv1.Overloaded.Problem(
		"Too many rights of this caller wait to be reviewed. Try again.")
)

// isUnavailable reports whether an error says that the API server gave no answer.
func isUnavailable(err error) bool { return errors.Is(err, problemUnavailable) }

func wrongAudience(of []string, wanted string) *httpv1.Problem {
	if len(of) == 0 {
		return httpv1.Unauthenticated.Problem(fmt.Sprintf(
			"The token is for no audience. Project one with the audience %s.", wanted))
	}
	return httpv1.Unauthenticated.Problem(fmt.Sprintf(
		"The token is for the audience %q. Project one with the audience %s.",
		httpv1.Excerpt(strings.Join(of, ", ")), wanted))
}

// forbidden says which rule is missing and which binding would grant it. It is the same whether the
// account exists or not.
func forbidden(s *subject, verb string, account limiter.Key) *httpv1.Problem {
	detail := fmt.Sprintf("%s may not %s mailaccounts.%s", s.user, verb, apiGroup)
	switch {
	case account.Namespace == "":
		detail += " in all namespaces. Name one (?namespace=NAME), or have an administrator of " +
			"the cluster grant it: " + s.binding("clusterrolebinding", verb, "")
	case !isNamespace(account.Namespace):
		detail += fmt.Sprintf(" in the namespace %q, which can be none.",
			httpv1.Excerpt(account.Namespace))
	case account.Name == "":
		detail += fmt.Sprintf(" in the namespace %s. ", account.Namespace) +
			s.grant(verb, account.Namespace)
	case !isName(account.Name):
		detail = fmt.Sprintf("%s may not %s a mailaccount.%s of the name %q, which can be none, "+
			"in the namespace %s.",
			s.user, verb, apiGroup, httpv1.Excerpt(account.Name), account.Namespace)
	default:
		detail += fmt.Sprintf("/%s in the namespace %s. ", account.Name, account.Namespace) +
			s.grant(verb, account.Namespace)
	}
	return httpv1.Forbidden.Problem(detail)
}

func (s *subject) grant(verb, namespace string) string {
	return "Whoever administers that namespace can grant it: " +
		s.binding("rolebinding", verb, " -n "+namespace)
}

// binding returns the command that grants a right.
func (s *subject) binding(kind, verb, in string) string {
	does, role := "views", "sluice-viewer"
	if verb == "use" {
		does, role = "sends", "sluice-sender"
	}
	namespace, name, _ := strings.Cut(strings.TrimPrefix(s.user, serviceAccountPrefix), ":")
	return fmt.Sprintf("kubectl create %s %s-%s%s --clusterrole=%s --serviceaccount=%s:%s",
		kind, name, does, in, role, namespace, name)
}

func isNamespace(s string) bool { return len(validation.IsDNS1123Label(s)) == 0 }

func isName(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }
