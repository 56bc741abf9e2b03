package redistest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestTLS has a client that trusts the authority speak with a server, and no other.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{TLS: true})
	to, err := url.Parse(s.TLSURL())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s is no certificate", pem)
	}
	if _, err := tls.Dial("tcp", to.Host, &tls.Config{}); err == nil {
		t.Error("everybody trusts the certificate")
	}
	c, err := tls.Dial("tcp", to.Host, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 5)
	if _, err := c.Read(reply); err != nil || string(reply) != "+PONG" {
		t.Errorf("%q, %v", reply, err)
	}
}
