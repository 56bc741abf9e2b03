package sluice_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/client/sluice"
)

// tokens is a transport that keeps the Authorization headers of all requests.
type tokens struct {
	http.RoundTripper
	sent []string
}

func (s *tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	s.sent = append(s.sent, strings.Join(r.Header["Authorization"], ","))
	return s.RoundTripper.RoundTrip(r)
}

const aUsage = `{"namespace":"marketing","name":"newsletter","behavior":"Defer"}`

func TestTheTokenIsReadFromItsFileAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &tokens{RoundTripper: respond(http.StatusOK, aUsage)}
		c := newClient(t, url, sluice.Options{Transport: s, TokenFile: file})
		call := func() {
			t.Helper()
			if _, err := c.Usage(t.Context(), account); err != nil {
				t.Fatal(err)
			}
		}
		write("first\n")
		call()
		write("second")
		call()
		time.Sleep(10 * time.Second) // of the bubble's clock
		call()
		want := []string{"Bearer first", "Bearer first", "Bearer second"}
		if diff := cmp.Diff(want, s.sent); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}

func TestNothingIsSentWithoutTheToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for name, c := range map[string]struct {
		text *string
		hint string
	}{
		"no file":            {nil, "no such file"},
		"an empty file":      {new(" \n"), "is empty"},
		"a file of two":      {new("secret-1\nsecret-2"), "more than one token, or none"},
		"a token and a word": {new("Bearer secret-1"), "more than one token, or none"},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(file)
			if c.text != nil {
				if err := os.WriteFile(file, []byte(*c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := &tokens{RoundTripper: respond(http.StatusOK, aUsage)}
			client := newClient(t, url, sluice.Options{Transport: s, TokenFile: file})
			_, err := client.Usage(t.Context(), account)
			if err == nil || !strings.Contains(err.Error(), "the token cannot be read") ||
				!strings.Contains(err.Error(), c.hint) || !strings.Contains(err.Error(), file) ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v", err)
			}
			if len(s.sent) > 0 {
				t.Errorf("%d requests were sent", len(s.sent))
			}
		})
	}
}
