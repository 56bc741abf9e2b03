package server_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/server"
)

// testCertificate returns a certificate for 127.0.0.1, and who trusts it.
func testCertificate() (tls.Certificate, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

// holding is what ListenTLS asks for the certificate.
func holding(c tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c, nil }
}

// TestSlowHandshakesAreCutOff wants a connection without a handshake to end as one without a
// request does.
func TestSlowHandshakesAreCutOff(t *testing.T) {
	certificate, _ := testCertificate()
	// A record of a handshake, with more of it to come: its header says 512 bytes.
	const begun = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for name, sent := range map[string]once{
		"that never begin":          {},
		"that end in a ClientHello": {sent: begun},
		"of a byte a second":        {slowly: begun + strings.Repeat("a", 100)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
				s := server.HTTPServer(http.NotFoundHandler(), logr.Discard())
				listener := server.ListenTLS(pipes, tls.VersionTLS13, holding(certificate))
				go func() { _ = s.Serve(listener) }()
				client, conn := net.Pipe()
				pipes.conns <- conn
				start, done := time.Now(), make(chan struct{})
				go func() {
					defer close(done)
					_, err := io.WriteString(client, sent.sent)
					for i := 0; err == nil && i < len(sent.slowly); i++ {
						_, err = client.Write([]byte{sent.slowly[i]})
						time.Sleep(time.Second) // of the bubble's clock
					}
				}()
				_, _ = io.Copy(io.Discard, client) // until the server closes
				took := time.Since(start)
				<-done
				if want := 10 * time.Second; took < want || took > want+2*time.Second {
					t.Errorf("the connection was closed after %v, want %v", took, want)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWhatTLSSpeaks(t *testing.T) {
	certificate, trusted := testCertificate()
	const cbc = tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
	for name, c := range map[string]struct {
		min    uint16
		client *tls.Config
		want   uint16 // the version; 0 is a refusal
	}{
		"1.3, if the client can": {min: tls.VersionTLS12, want: tls.VersionTLS13},
		"1.2, if that is allowed": {
			min: tls.VersionTLS12, client: &tls.Config{MaxVersion: tls.VersionTLS12},
			want: tls.VersionTLS12,
		},
		"not 1.2 by default": {
			min: tls.VersionTLS13, client: &tls.Config{MaxVersion: tls.VersionTLS12},
		},
		"not 1.1": {
			min:    tls.VersionTLS12,
			client: &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11},
		},
		"no CBC": {min: tls.VersionTLS12, client: &tls.Config{
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{cbc},
		}},
		"HTTP/1.1, of that and HTTP/2": {
			min: tls.VersionTLS13, client: &tls.Config{NextProtos: []string{"h2", "http/1.1"}},
			want: tls.VersionTLS13,
		},
		"no HTTP/2": {min: tls.VersionTLS13, client: &tls.Config{NextProtos: []string{"h2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := server.Listen("127.0.0.1:0", 10, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			s := server.HTTPServer(http.NotFoundHandler(), logr.Discard())
			go func() { _ = s.Serve(server.ListenTLS(plain, c.min, holding(certificate))) }()
			t.Cleanup(func() { _ = s.Close() })
			client := &tls.Config{}
			if c.client != nil {
				client = c.client
			}
			client.RootCAs = trusted
			conn, err := tls.Dial("tcp", plain.Addr().String(), client)
			if err != nil {
				if c.want != 0 {
					t.Error(err)
				}
				return
			}
			defer func() { _ = conn.Close() }()
			got := conn.ConnectionState()
			if got.Version != c.want || got.NegotiatedProtocol == "h2" {
				t.Errorf("it speaks %s and %q, want %s",
					tls.VersionName(got.Version), got.NegotiatedProtocol, tls.VersionName(c.want))
			}
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: sluice\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.ProtoMajor != 1 || resp.StatusCode != http.StatusNotFound {
				t.Errorf("it answers %s %s", resp.Proto, resp.Status)
			}
		})
	}
}
