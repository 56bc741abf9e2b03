//go:build !linux

package journal

import "time"

// systemClocks are the clocks of this machine. Only on Linux a boot can be told from another, and
// the kernel asked about its clock: elsewhere the wall clock is believed.
func systemClocks() *clocks {
	return &clocks{
		machine:      func() machine { return machine{} },
		sinceBoot:    func() (int64, bool) { return 0, false },
		synchronized: func() bool { return true },
		wall:         func() int64 { return time.Now().UnixNano() },
	}
}
