package faults

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestLossIsTold wants an event of a loss from a replica that found its server away before it found
// it empty, and from one that started only then.
func TestLossIsTold(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	o := options(s.URL())
	o.Keeper = &keeper{}
	r := ready(t, o, limits)
	s.Kill(t)
	_ = r.awaitAway(t)
	s.Restart(t)
	for _, r := range []*replica{r, open(t, o, limits)} {
		_ = r.awaitLost(t)
		until(t, "an event tells of the loss", func() (err error) {
			r.change(func() {
				if !slices.Contains(r.events, "StoreLost") {
					err = fmt.Errorf("there are %q", r.events)
				}
			})
			return err
		})
	}
}
