// Command fidelity measures how exactly a running Sluice does what it promises, and writes the
// table of docs/fidelity.md. It fails if a promise is broken. `make fidelity` runs it; it takes
// four minutes, as the windows are real ones.
//
//   - main.go: which measures there are, and in which order.
//   - process.go, calls.go: the binary as a process, and the calls to it.
//   - sending.go, rolling.go: the most that was sent in any rolling window.
//   - counts.go: what is charged, overshot, or off after a limit changed.
//   - killed.go: callers that are killed.
//   - restarts.go: a Sluice that is killed, and started again.
//   - shared.go: three that share a Redis, and are killed as well as that.
//   - promise.go: the time that a denial promises.
//   - apply.go: from kubectl apply to enforcement, with a real kube-apiserver.
//   - document.go: the page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	if is, err := caller(); is { // the process that is going to be killed
		exit(err)
	}
	out := flag.String("out", "", "write the page to this file")
	binary := flag.String("sluice", "bin/sluice", "the binary to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, *binary, *out))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fidelity:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// row is one line of the table.
type row struct {
	what, how, ideal, measured string
	// meaning is what it says, in one sentence.
	meaning string
	// broken says which promise was broken; empty if none was.
	broken string
}

// measure measures something, on accounts of its own.
type measure func(context.Context, *process) ([]row, error)

// The measures share one Sluice. The quiet ones run first and at the same time. The loud ones would
// disturb what the quiet ones measure to the millisecond.
var (
	quiet = []measure{killed, promises, changes}
	loud  = []measure{
		rollingRandom, rollingAdversarial, rollingKilled, rollingShared, forgotten, denied, overshoot,
	}
)

func run(ctx context.Context, binary, out string) error {
	started := time.Now()
	rows, err := all(ctx, binary)
	if err != nil {
		return err
	}
	var broken []error
	for _, r := range rows {
		fmt.Printf("%s: %s (ideal: %s)\n", r.what, r.measured, r.ideal)
		if r.broken != "" {
			broken = append(broken, fmt.Errorf("%s: %s", r.what, r.broken))
		}
	}
	if out != "" {
		page, err := document(ctx, rows, time.Since(started))
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, page, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(broken...)
}

// all runs all measures, and returns the rows of the table in its order.
func all(ctx context.Context, binary string) ([]row, error) {
	applied, err := apply(ctx, binary)
	if err != nil {
		return nil, fmt.Errorf("apply to enforcement: %w", err)
	}
	p, err := startFolder(ctx, binary)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	later, err := together(ctx, p, quiet)
	if err != nil {
		return nil, err
	}
	rows, err := together(ctx, p, loud)
	if err != nil {
		return nil, err
	}
	return append(append(rows, later...), applied), nil
}

// together runs measures at the same time.
func together(ctx context.Context, p *process, measures []measure) ([]row, error) {
	group, ctx := errgroup.WithContext(ctx)
	results := make([][]row, len(measures))
	for i, measure := range measures {
		group.Go(func() (err error) {
			results[i], err = measure(ctx, p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}
