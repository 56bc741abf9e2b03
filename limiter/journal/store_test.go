package journal

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

func TestStore(t *testing.T) {
	limitertest.Run(t, func(t limitertest.TB, o limitertest.Options) limiter.Store {
		s := New(Options{Dir: "data", fs: vfs.NewMem(), Memory: memory.Options{
			MaxReservations:           o.MaxReservations,
			MaxReservationsPerAccount: o.MaxReservationsPerAccount,
		}})
		if _, err := s.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
