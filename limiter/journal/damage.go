package journal

import (
	"fmt"
	"strings"

	"github.com/sluice-mail/sluice/limiter"
)

// Damage says that a journal cannot be read as it was written. Going on would forget sends.
type Damage struct {
	// Where is the file, or the part of the journal, and What is what is wrong with it.
	Where, What string
	// Accounts are those whose sends cannot be read, if it is known that all others can.
	Accounts []limiter.Key
}

// maxNamed is how many accounts a message names.
const maxNamed = 20

// Error says what is damaged, and what the choices are.
func (d *Damage) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the journal is damaged: %s: %s. ", d.Where, d.What)
	what := "all"
	if len(d.Accounts) > 0 {
		what = names(d.Accounts)
		fmt.Fprintf(&b, "What these accounts sent cannot be read: %s. ", what)
	} else {
		b.WriteString("It is not known what is missing, and of which accounts. ")
	}
	fmt.Fprintf(&b, "Sluice does not start, as these accounts could send too much. The choices: "+
		"restore the volume from a backup or repair the disk; look with \"sluice journal verify\" "+
		"and \"sluice journal dump\"; or start once with --accept-loss=%s, which forgets what "+
		"cannot be read: within a day the accounts concerned may then send their whole limits "+
		"once more, unless you suspend them or lower their limits meanwhile", what)
	return b.String()
}

// names lists accounts, as --accept-loss takes them.
func names(keys []limiter.Key) string {
	var list []string
	for i, k := range keys {
		if i == maxNamed {
			list = append(list, fmt.Sprintf("… (%d more: accept all)", len(keys)-i))
			break
		}
		list = append(list, k.Namespace+"/"+k.Name)
	}
	return strings.Join(list, ",")
}

// AcceptLoss says what may be forgotten of a journal that is damaged. The zero value is nothing.
type AcceptLoss struct {
	All      bool
	Accounts map[limiter.Key]bool
}

// ParseAcceptLoss reads the flag --accept-loss: "all", or accounts as namespace/name, with commas
// between them. The empty string is nothing.
func ParseAcceptLoss(s string) (a AcceptLoss, err error) {
	switch s {
	case "":
		return a, nil
	case "all":
		return AcceptLoss{All: true}, nil
	}
	a.Accounts = map[limiter.Key]bool{}
	for name := range strings.SplitSeq(s, ",") {
		namespace, name, ok := strings.Cut(strings.TrimSpace(name), "/")
		if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			return a, fmt.Errorf("%q is neither \"all\" nor accounts such as marketing/newsletter,"+
				"support/replies", s)
		}
		a.Accounts[limiter.Key{Namespace: namespace, Name: name}] = true
	}
	return a, nil
}

// covers reports whether the loss of these accounts was accepted.
func (a AcceptLoss) covers(d *Damage) bool {
	if a.All {
		return true
	}
	for _, k := range d.Accounts {
		if !a.Accounts[k] {
			return false
		}
	}
	return len(d.Accounts) > 0
}
