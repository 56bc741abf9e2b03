package limitertest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// TestProvider has mails arrive as fast as a limit lets them, and then one too early.
func TestProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProvider()
		limits := limiter.Limits{limiter.Cost: {limiter.Second: 3}}
		for range 3 {
			p.Arrived(1)
			p.Arrived(2)
			time.Sleep(time.Second)
		}
		if c := p.Complaint(limits); c != "" || p.Cost() != 9 {
			t.Errorf("%q after %d", c, p.Cost())
		}
		p.Arrived(2)
		time.Sleep(time.Second - 1)
		p.Arrived(2)
		if c := p.Complaint(limits); c != "the second up to 3.999999999s holds 4, the limit was 3" {
			t.Error(c)
		}
	})
}
