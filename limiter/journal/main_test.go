package journal

import (
	"flag"
	"testing"
)

// long has tests that try places one by one try all of them.
var long = flag.Bool("journal.long", false, "try each operation, byte and bit, not only some")

// stride is how far tests that try places one by one go at a time.
func stride(n int) int {
	switch {
	case *long:
		return 1
	case testing.Short():
		return 7 * n
	}
	return n
}
