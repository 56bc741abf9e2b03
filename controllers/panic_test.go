package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// asPanicking makes this process run a controller that panics, and nothing else.
const asPanicking = "SLUICE_TEST_PANIC"

// init comes before TestMain, which would start a control plane that nobody stops.
func init() {
	if os.Getenv(asPanicking) != "" {
		panicInReconcile()
		os.Exit(0)
	}
}

// TestAPanicEndsTheProcess wants no reconciler's panic to be recovered: it may have left a lock of
// the limiter held.
func TestAPanicEndsTheProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPanicking+"=yes")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 ||
		!strings.Contains(string(out), "panic: swordfish") {
		t.Errorf("ended with %v:\n%s", err, out)
	}
}

// panicInReconcile runs a controller that panics, and returns if it goes on after that.
func panicInReconcile() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	options := controllerOptions(1)
	panicked := false
	options.Reconciler = reconcile.Func(func(context.Context, ctrl.Request) (ctrl.Result, error) {
		if panicked {
			cancel()
			return ctrl.Result{}, nil
		}
		panicked = true
		panic("swordfish")
	})
	c, err := controller.NewUnmanaged("panics", options)
	one := func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		queue.Add(ctrl.Request{})
		return nil
	}
	if err := errors.Join(err, c.Watch(source.Func(one)), c.Start(ctx)); err != nil {
		fmt.Println(err)
	}
}
