package limitertest

import "testing"

// testDrainAdmitsNothing: what was allowed before is still committed and released, so that it is
// counted.
func (s suite) testDrainAdmitsNothing(t *testing.T) {
	s.play(t, perMinute(3), `
		0s  check a  -> allow 2
		0s  check b  -> allow 1
		1s  drain    ->
		1s  check c  -> draining
		1s  check a  -> draining    # also the repetition of one that was allowed
		1s  commit a -> committed
		1s  release b -> released
		1s  usage    -> 1/1/1 + 0
		1s  check c account=unknown -> no account`)
	l := s.unloaded(t)
	l.Drain() // before anything was loaded
	l.Apply(account, "uid-1", perMinute(1))
	tl := &timeline{t: t, l: l}
	tl.play(`
		0s  check a                 -> not loaded
		0s  check a account=unknown -> not loaded
		0s  commit a                -> not loaded`)
	l.MarkLoaded()
	tl.play(`0s  check a -> draining`)
}
