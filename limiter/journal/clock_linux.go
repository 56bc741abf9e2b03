package journal

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// systemClocks are the clocks of this machine.
func systemClocks() *clocks {
	m := machine{
		bootID:        readLine("/proc/sys/kernel/random/boot_id"),
		timeNamespace: readLine("/proc/self/timens_offsets"),
	}
	return &clocks{
		machine: func() machine { return m },
		sinceBoot: func() (int64, bool) {
			var t unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
				return 0, false
			}
			return t.Nano(), true
		},
		synchronized: func() bool {
			state, err := unix.Adjtimex(&unix.Timex{})
			return err == nil && state != unix.TIME_ERROR
		},
		wall:     func() int64 { return time.Now().UnixNano() },
		patience: syncPatience,
	}
}

// readLine returns what a file of the kernel says, in one line, or nothing if it cannot be read.
func readLine(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}
