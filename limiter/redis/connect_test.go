package redis_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestPasswordFilesAreReadAgain has the password change under a client that has to connect anew.
func TestPasswordFilesAreReadAgain(t *testing.T) {
	s := bareServer(t)
	s.say(t, "ACL", "SETUSER", "sluice", "on", ">first", "~sl:*", "+@all")
	dir := t.TempDir()
	username, password := filepath.Join(dir, "username"), filepath.Join(dir, "password")
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(username, "sluice\n")
	write(password, "first\n")
	l := limiterOn(t, redis.Connection{
		URL: "redis://" + s.address(), UsernameFile: username, PasswordFile: password,
	})
	check(t, l, "a")
	s.say(t, "ACL", "SETUSER", "sluice", "resetpass", ">second")
	write(password, "second\n")
	s.say(t, "CLIENT", "KILL", "USER", "sluice")
	wantUsed(t, l, 0, 1)
	write(password, "wrong")
	s.say(t, "CLIENT", "KILL", "USER", "sluice")
	time.Sleep(50 * time.Millisecond)
	wantUnavailable(t, l)
}

// TestClusterOfOne has a server in cluster mode accept every script: all keys are of one slot, and
// declared.
func TestClusterOfOne(t *testing.T) {
	s, _ := clusterOfOne(t)
	l := limiterOn(t, redis.Connection{URL: "redis://" + s.address()})
	check(t, l, "a")
	check(t, l, "b")
	if _, err := l.Commit(ctx, far, account, "", 0); err != nil {
		t.Error(err)
	}
	if _, err := l.Release(ctx, far, account, "b"); err != nil {
		t.Error(err)
	}
	wantUsed(t, l, 1, 0)
	limitertest.Purge(t, l, account)
}

// clusterOfOne is a server in cluster mode that has all slots, and a client of it.
func clusterOfOne(t *testing.T) (*server, valkey.Client) {
	t.Helper()
	s := bareServer(t, "--cluster-enabled", "yes")
	s.say(t, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	for range 100 {
		text, err := s.say(t, "CLUSTER", "INFO").ToString()
		if err == nil && bytes.Contains([]byte(text), []byte("cluster_state:ok")) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// TestURLsAreToldWithoutPasswords: a URL that is wrong is told without the password in it.
func TestURLsAreToldWithoutPasswords(t *testing.T) {
	for _, url := range []string{"redis://user:secret@host:port", "http://:secret@host", ":secret"} {
		_, err := redis.Connect(redis.Connection{URL: url})
		if err == nil || bytes.Contains([]byte(err.Error()), []byte("secret")) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTLS has a client trust the server's certificate by a CA file, and none without it.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate, key := selfSigned(t, dir)
	s, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.say(t, "CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key,
		"tls-auth-clients", "no", "tls-ca-cert-file", certificate,
		"tls-port", strconv.Itoa(address.Port))
	url := "rediss://" + address.String()
	if _, err := redis.Connect(redis.Connection{URL: url}); err == nil {
		t.Error("it trusts a certificate that nobody vouches for")
	}
	if _, err := redis.Connect(redis.Connection{URL: url, CAFile: key}); err == nil {
		t.Error("it takes a key for a certificate")
	}
	if _, err := redis.Connect(redis.Connection{
		URL: "redis://" + s.address(), CAFile: certificate,
	}); err == nil {
		t.Error("it takes a CA file without TLS")
	}
	check(t, limiterOn(t, redis.Connection{URL: url, CAFile: certificate}), "a")
}

// selfSigned makes a certificate for 127.0.0.1 and returns the files of it and its key.
func selfSigned(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(dir, name)
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
		if err := os.WriteFile(file, block, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("tls.crt", "CERTIFICATE", der), write("tls.key", "EC PRIVATE KEY", privateDER)
}
