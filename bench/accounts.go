package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// account is one that the run uses.
type account struct {
	httpv1.Account
	granted *granted
}

// find chooses the accounts of the run and reads their limits.
func (r *run) find(ctx context.Context) error {
	err := r.list(ctx, func(u *httpv1.Usage, _ time.Time) (more bool) {
		if strings.HasPrefix(u.Name, r.config.Prefix) && !u.Suspended {
			r.accounts = append(r.accounts, &account{
				Account: httpv1.Account{Namespace: u.Namespace, Name: u.Name},
				granted: newGranted(u),
			})
		}
		return len(r.accounts) < r.config.Accounts
	})
	if err != nil {
		return fmt.Errorf("the accounts cannot be listed: %w", err)
	}
	n := len(r.accounts)
	if n == 0 {
		return fmt.Errorf(`there is no account to use%s. Make some: pass what `+
			`"sluice bench --print-accounts 100" prints to "kubectl apply -f -", or write it to a file `+
			`in the folder of "sluice serve --accounts"`, r.config.selection())
	}
	if n < r.config.Accounts {
		r.note("There are only %d accounts to use%s, not %d.", n, r.config.selection(), r.config.Accounts)
	}
	return nil
}

// selection says which accounts can be used, if not all, for messages.
func (c *Config) selection() (text string) {
	if c.Namespace != "" {
		text += " in the namespace " + c.Namespace
	}
	if c.Prefix != "" {
		text += " with a name that begins with " + c.Prefix
	}
	return text
}

// list calls visit with the usage of each account, and when it was received, until visit returns
// false.
func (r *run) list(
	ctx context.Context, visit func(u *httpv1.Usage, received time.Time) (more bool),
) error {
	request := sluice.ListRequest{Namespace: r.config.Namespace, Limit: httpv1.MaxPageSize}
	for {
		page, err := r.client.List(ctx, request)
		if err != nil {
			return err
		}
		received := time.Now()
		for i := range page.Accounts {
			if !visit(&page.Accounts[i], received) {
				return nil
			}
		}
		if page.Continue == "" {
			return nil
		}
		request.Continue = page.Continue
	}
}

// printedLimits are so small that a short run reaches them, and sees denials, too.
const printedLimits = "{perMinute: 600, perHour: 20000, perDay: 200000}"

// PrintAccounts writes the manifests of n accounts to use. Without a prefix their names begin with
// "bench-".
func PrintAccounts(w io.Writer, n int, namespace, prefix string) error {
	if namespace == "" {
		namespace = "default"
	}
	if prefix == "" {
		prefix = "bench-"
	}
	for i := range n {
		_, err := fmt.Fprintf(w, `---
apiVersion: sluice.dev/v1alpha1
kind: MailAccount
metadata: {name: "%s%04d", namespace: "%s"}
spec: {limits: %s}
`, prefix, i+1, namespace, printedLimits)
		if err != nil {
			return err
		}
	}
	return nil
}
