package sluice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// idleConnections is how many connections the Client's own transport keeps for later calls.
	idleConnections = 64
	// dialTimeout is shorter than an attempt, so that it is known that there was no connection.
	dialTimeout = 5 * time.Second
)

// newTransport keeps more connections to one host than http.DefaultTransport, which keeps two.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     90 * time.Second, // Sluice closes idle ones after two minutes
		MaxIdleConnsPerHost: idleConnections,
		DisableCompression:  true, // Sluice does not compress
	}
}

// NewTransport returns a transport for [Options] that trusts the certificates in a file, in PEM,
// instead of the system's: the ca.crt that comes with Sluice's certificate. Otherwise it is as the
// Client's own. The file is read for each connection, so that it may be replaced; connections
// through a proxy go on with what it was at first. NewTransport returns an error if it cannot be
// read now, or has no certificate.
func NewTransport(caFile string) (*http.Transport, error) {
	trusted, err := readCertificates(caFile)
	if err != nil {
		return nil, err
	}
	t := newTransport()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted}
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		trusted, err := readCertificates(caFile)
		if err != nil {
			return nil, err
		}
		d := tls.Dialer{
			NetDialer: &net.Dialer{Timeout: dialTimeout}, // of the handshake, too
			Config:    &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted},
		}
		return d.DialContext(ctx, network, address)
	}
	return t, nil
}

func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}
