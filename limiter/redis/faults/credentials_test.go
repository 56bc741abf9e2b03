package faults

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// secret is a user and its password, in files as a Secret is mounted.
type secret struct{ username, password string }

func newSecret(t *testing.T, username, password string) secret {
	t.Helper()
	s := secret{filepath.Join(t.TempDir(), "username"), filepath.Join(t.TempDir(), "password")}
	write(t, s.username, username)
	write(t, s.password, password)
	return s
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWrongPassword wants a replica to refuse to start, and to say what to check.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{ACL: []string{"user sluice on >right ~sl:* +@all"}})
	o := options(s.URL())
	f := newSecret(t, "sluice", "wrong")
	o.Connection.UsernameFile, o.Connection.PasswordFile = f.username, f.password
	wantRefusal(t, open(t, o, limits), "--redis-password-file")
}

// TestPasswordIsRotated has the password change while mails are sent: first as one should, with two
// that are valid for a while, and then so that the file is late.
func TestPasswordIsRotated(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{ACL: []string{"user sluice on >first ~sl:* &* +@all"}})
	f := newSecret(t, "sluice", "first")
	o := options(s.URL())
	o.Connection.UsernameFile, o.Connection.PasswordFile = f.username, f.password
	all := pair(t, o)
	l := send(t, all...)
	change := func(rule ...string) {
		t.Helper()
		s.Command(t, append([]string{"ACL", "SETUSER", "sluice"}, rule...)...)
		_ = s.Try(t.Context(), "CLIENT", "KILL", "USER", "sluice")
	}
	l.awaitAllowed(20)
	change(">second")
	write(t, f.password, "second")
	change("<first")
	l.awaitAllowed(20)
	change("resetpass", ">third")
	for _, r := range all {
		_ = r.awaitAway(t)
		l.wantRefused(r)
	}
	write(t, f.password, "third")
	l.awaitAllowed(20)
	l.finish(limits)
}

// TestTLS has connections with TLS break, and the server with them.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{TLS: true, AOF: "always"})
	o := options(s.TLSURL())
	stranger := open(t, o, limits)
	o.Connection.CAFile = s.CAFile()
	all := pair(t, o)
	l := send(t, all...)
	l.awaitAllowed(20)
	s.Restart(t)
	l.awaitAllowed(20)
	s.Command(t, "CLIENT", "KILL", "TYPE", "normal")
	l.awaitAllowed(20)
	if stranger.store.Ready() == nil {
		t.Error("a replica trusts a certificate that nobody vouches for")
	}
	l.finish(limits)
}
