package journal

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

func TestStore(t *testing.T) {
	limitertest.Run(t, func(t limitertest.TB, o limitertest.Options) limiter.Store {
		options := options(o)
		options.Dir, options.fs = "data", vfs.NewMem()
		s := New(options)
		if _, err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}

// TestDurable kills the process, and the machine, where nothing that was not synced outlives it, or
// half of it.
func TestDurable(t *testing.T) {
	for _, survives := range []int{100, 0, 50} {
		t.Run(fmt.Sprintf("%d percent outlive it", survives), func(t *testing.T) {
			limitertest.RunDurable(t, func(
				_ limitertest.TB, o limitertest.Options,
			) limitertest.Durable {
				return newMedium(options(o), survives)
			})
		})
	}
	t.Run("synced at a pace", func(t *testing.T) {
		limitertest.RunDurable(t, func(
			_ limitertest.TB, o limitertest.Options,
		) limitertest.Durable {
			options := options(o)
			options.Sync = pace
			return newMedium(options, 100)
		})
	})
}
