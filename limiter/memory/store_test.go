package memory_test

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

func TestStore(t *testing.T) {
	limitertest.Run(t, func(_ limitertest.TB, o limitertest.Options) limiter.Store {
		return memory.New(memory.Options{
			MaxReservations:           o.MaxReservations,
			MaxReservationsPerAccount: o.MaxReservationsPerAccount,
		})
	})
}
