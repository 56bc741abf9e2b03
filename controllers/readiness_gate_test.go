package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// firstList is a cache that has synced, or will never.
type firstList struct {
	cache.Cache
	names     []string
	err       error
	meanwhile func() // while it is listed
}

func (f *firstList) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if f.meanwhile != nil {
		f.meanwhile()
	}
	list, ok := into.(*mailAccountList)
	if !ok {
		return fmt.Errorf("a list of %T", into)
	}
	for _, name := range f.names {
		var a mailAccount
		a.Namespace, a.Name, _ = strings.Cut(name, "/")
		list.Items = append(list.Items, a)
	}
	return f.err
}

func nameOf(s string) types.NamespacedName {
	namespace, name, _ := strings.Cut(s, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// TestReadinessGate opens the limiter at the very step at which every account of the first list is
// reconciled. A step is an account that was reconciled, or the list.
func TestReadinessGate(t *testing.T) {
	const list = "list"
	for name, c := range map[string]struct{ names, steps string }{ // it opens with the last step
		"no account":                            {"", "list"},
		"one":                                   {"n/a", "list n/a"},
		"several, in another order":             {"n/a n/b n/c", "list n/c n/a n/b"},
		"one before the list":                   {"n/a n/b", "n/a list n/b"},
		"all before the list":                   {"n/a n/b", "n/b n/a list"},
		"the same one again":                    {"n/a n/b", "n/a list n/a n/a n/b"},
		"one that came after the list":          {"n/a", "list n/new n/a"},
		"one that was gone before the list":     {"n/a", "n/gone list n/a"},
		"a name in two namespaces":              {"n/a m/a", "list n/a m/a"},
		"a name in two, one of them before":     {"n/a m/a", "m/a list n/a"},
		"one that is reconciled while it lists": {"n/a n/b", "while list n/b"},
	} {
		t.Run(name, func(t *testing.T) {
			var logged []string
			note := func(_, line string) { logged = append(logged, line) }
			log := funcr.New(note, funcr.Options{})
			first, l := &firstList{names: strings.Fields(c.names)}, limiter.New(memory.New(memory.Options{}))
			gate := newReadinessGate(first, l, log)
			first.meanwhile = func() {
				if l.Loaded() {
					t.Error("the limiter is open before the list is known")
				}
			}
			for i, step := range strings.Fields(c.steps) {
				if l.Loaded() {
					t.Fatalf("the limiter is open before step %d", i)
				}
				switch step {
				case list:
					if err := gate.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
				case "while":
					first.meanwhile = func() { gate.done(nameOf("n/a")) }
				default:
					gate.done(nameOf(step))
				}
			}
			if !l.Loaded() {
				t.Fatal("the limiter is not open after the last step")
			}
			gate.done(nameOf("n/later"))
			if len(logged) != 1 || !strings.Contains(logged[0], "all limits are loaded") {
				t.Errorf("it was logged: %q", logged)
			}
		})
	}
}

// TestReadinessGateFails wants the limiter to stay closed, and the process to hear of it, if the
// first list cannot be had.
func TestReadinessGateFails(t *testing.T) {
	for name, err := range map[string]error{
		"the cache does not sync": errors.New("timed out waiting for the cache"),
		"nothing is found":        apierrors.NewNotFound(schema.GroupResource{}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter.New(memory.New(memory.Options{}))
			gate := newReadinessGate(&firstList{err: err}, l, logr.Discard())
			gate.done(nameOf("n/a"))
			if got := gate.Start(t.Context()); !errors.Is(got, err) {
				t.Errorf("it returned %v", got)
			}
			gate.done(nameOf("n/a"))
			if l.Loaded() {
				t.Error("the limiter is open")
			}
		})
	}
}
