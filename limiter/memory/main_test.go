package memory_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has the random tests look at more than rapid's hundred cases, unless -rapid.checks says
// otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10000"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
