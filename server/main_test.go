package server_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain wants the tests, if all of them ran, to have seen every response, by status, that
// openapi.yaml promises.
func TestMain(m *testing.M) {
	if benchChild() || panicChild() {
		return
	}
	flag.Parse()
	code := m.Run()
	if code == 0 && everythingRan() {
		if missing := contract.unseen(); len(missing) > 0 {
			fmt.Printf("FAIL: no test has seen what openapi.yaml promises: %s\n",
				strings.Join(missing, ", "))
			code = 1
		}
	}
	os.Exit(code)
}

// everythingRan reports whether no flag selects some of the tests.
func everythingRan() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}
