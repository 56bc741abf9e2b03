package server_test

import (
	"crypto/tls"
	"net"
	"os"
	"testing"

	"github.com/sluice-mail/sluice/server"
)

// BenchmarkTLS compares checks over TLS 1.3 with checks in the clear. Connections are kept, so that
// handshakes do not count.
func BenchmarkTLS(b *testing.B) {
	for _, decision := range []string{"allow", "deny"} {
		b.Run("check="+decision, func(b *testing.B) {
			plain := benchSetup{kind: "memory", decision: decision, accounts: 100_000}
			encrypted := plain
			encrypted.tls = true
			compare(b, plain, encrypted)
		})
	}
}

// benchTLS reports whether this server and its load are to encrypt.
func benchTLS() bool { return os.Getenv("SLUICE_BENCH_TLS") == "true" }

// benchListenTLS encrypts the connections of a listener, if this server is to.
func benchListenTLS(listener net.Listener) net.Listener {
	if !benchTLS() {
		return listener
	}
	certificate, _ := testCertificate()
	return server.ListenTLS(listener, tls.VersionTLS13, holding(certificate))
}

// benchDial connects to the server, as that listens.
func benchDial(address string) (net.Conn, error) {
	if !benchTLS() {
		return net.Dial("tcp", address)
	}
	return tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the certificate is made by the server's process
	})
}
