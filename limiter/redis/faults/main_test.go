package faults

import (
	"flag"
	"os"
	"testing"
)

// TestMain has many tests run at a time, as they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
