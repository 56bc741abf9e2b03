package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/sluice-mail/sluice/test/testprocess"
)

// keyPair is a self-signed certificate and its key, in PEM.
type keyPair struct{ certificate, key []byte }

func newKeyPair(t *testing.T, name string, ends time.Time) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: ends, IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	}
}

// mounted is a Secret of a certificate, as the kubelet mounts it: the files are links through
// ..data, which is replaced at once.
type mounted struct {
	t        *testing.T
	dir      string
	versions int
}

func mount(t *testing.T, k keyPair) *mounted {
	t.Helper()
	m := &mounted{t: t, dir: t.TempDir()}
	m.replace(k)
	for _, file := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(m.dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// replace does what the kubelet does when the Secret changes.
func (m *mounted) replace(k keyPair) {
	m.t.Helper()
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(m.dir, "..data"))
	m.versions++
	version := fmt.Sprintf("..version-%d", m.versions)
	must(os.Mkdir(filepath.Join(m.dir, version), 0o700))
	must(os.WriteFile(filepath.Join(m.dir, version, "tls.crt"), k.certificate, 0o600))
	must(os.WriteFile(filepath.Join(m.dir, version, "tls.key"), k.key, 0o600))
	link := filepath.Join(m.dir, "..data_tmp")
	must(os.Symlink(version, link))
	must(os.Rename(link, filepath.Join(m.dir, "..data")))
	if old != "" {
		must(os.RemoveAll(filepath.Join(m.dir, old)))
	}
}

func (m *mounted) flags() []string {
	return []string{
		"--tls-cert-file", filepath.Join(m.dir, "tls.crt"),
		"--tls-key-file", filepath.Join(m.dir, "tls.key"),
	}
}

// dialTLS connects to an address, and returns the name in its certificate.
func dialTLS(address string) (conn *tls.Conn, name string, err error) {
	conn, err = tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // it is looked at
	})
	if err != nil {
		return nil, "", err
	}
	return conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// presents reports whether new connections to the address get the certificate with this name.
func presents(address, want string) bool {
	conn, name, err := dialTLS(address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return name == want
}

// startTLS starts the program with a certificate, and returns where its metrics are.
func startTLS(t *testing.T, m *mounted) (p *program, metrics string) {
	t.Helper()
	metrics = freeAddress(t)
	p = &program{t: t, log: &testprocess.Log{}, api: freeAddress(t), health: freeAddress(t)}
	p.run(command(t, nil, append([]string{
		"serve", "--accounts", accounts(t), "--http-address", p.api, "--health-address", p.health,
		"--metrics-address", metrics,
	}, m.flags()...)...))
	p.untilReady() // of the health address, which is plain
	return p, metrics
}

// scrape returns the metrics.
func scrape(t *testing.T, address string) string {
	t.Helper()
	conn, _, err := dialTLS(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) // the body is in chunks
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestACertificateIsReplaced keeps a connection over a replacement, and over one that is broken.
func TestACertificateIsReplaced(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	later := hour.Add(time.Hour)
	m := mount(t, newKeyPair(t, "first", hour))
	p, metrics := startTLS(t, m)
	kept, name, err := dialTLS(p.api)
	if err != nil || name != "first" {
		t.Fatal(name, err)
	}
	answers := bufio.NewReader(kept)
	ask := func() {
		t.Helper()
		_, err := io.WriteString(kept, "GET /v1/accounts/n/a HTTP/1.1\r\nHost: s\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the connection that is kept is answered %s", resp.Status)
		}
	}
	ends := func(at time.Time) {
		t.Helper()
		want := fmt.Sprintf("sluice_tls_certificate_expiry_timestamp_seconds %v\n", float64(at.Unix()))
		if got := scrape(t, metrics); !strings.Contains(got, want) {
			t.Errorf("the metrics are without %s\n%s", want, got)
		}
	}
	ask()
	ends(hour)

	m.replace(newKeyPair(t, "second", later))
	p.until("new connections get the new certificate",
		func() bool { return presents(p.api, "second") })
	ask()
	ends(later)

	broken := newKeyPair(t, "third", later)
	broken.key = newKeyPair(t, "another", later).key
	m.replace(broken)
	p.until("the log tells of it", func() bool {
		return strings.Contains(p.log.String(), "the certificate from before stays")
	})
	for _, address := range []string{p.api, metrics} {
		if !presents(address, "second") {
			t.Errorf("%s does not present the certificate from before", address)
		}
	}
	ask()

	m.replace(newKeyPair(t, "fourth", hour))
	p.until("it recovers", func() bool { return presents(p.api, "fourth") })
	ask()
	_ = kept.Close()
	p.stop()
}

// TestCommandsTrustAFile calls the API with its certificate, and without.
func TestCommandsTrustAFile(t *testing.T) {
	m := mount(t, newKeyPair(t, "sluice", time.Now().Add(time.Hour)))
	p, _ := startTLS(t, m)
	ca := filepath.Join(m.dir, "tls.crt")
	for name, c := range map[string]struct {
		args []string
		want string
		ok   bool
	}{
		"smoke-test": {
			[]string{"smoke-test", "--account", "n/a", "--ca-file", ca}, `"outcome":"Committed"`, true,
		},
		"smoke-test without the file": {
			[]string{"smoke-test", "--account", "n/a", "--timeout", "1s"},
			"certificate signed by unknown authority", false,
		},
		"smoke-test with another file": {
			[]string{"smoke-test", "--account", "n/a", "--ca-file", filepath.Join(m.dir, "tls.key")},
			"--ca-file: " + filepath.Join(m.dir, "tls.key") + " has no certificate", false,
		},
		"bench": {
			[]string{"bench", "--duration", "10ms", "--accounts", "1", "--ca-file", ca}, "", true,
		},
		"bench without the file": {
			[]string{"bench", "--duration", "10ms"}, "certificate signed by unknown authority", false,
		},
		"bench with a file that is not there": {
			[]string{"bench", "--ca-file", "/nowhere"}, "--ca-file: open /nowhere", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, nil, append(c.args, "--url", "https://"+p.api)...).CombinedOutput()
			if (err == nil) != c.ok || !strings.Contains(string(out), c.want) {
				t.Errorf("got  %v, %s\nwant %s", err, out, c.want)
			}
		})
	}
	if status, body := get("http://" + p.api + "/v1/accounts/n/a"); status != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %d %s", status, body)
	}
	p.stop()
}

func TestACertificateThatHasEndedIsTold(t *testing.T) {
	p, _ := startTLS(t, mount(t, newKeyPair(t, "old", time.Now().Add(-time.Minute))))
	p.until("the log tells of it", func() bool {
		return strings.Contains(p.log.String(), "the certificate has ended")
	})
	p.stop()
}

// TestTokensInTheClearAreTold once, at the start.
func TestTokensInTheClearAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		tokens    bool
		config    tlsConfig
		wantLines int
	}{
		"tokens, unencrypted": {tokens: true, wantLines: 1},
		"tokens, encrypted":   {tokens: true, config: tlsConfig{certFile: "c", keyFile: "k"}},
		"no tokens":           {},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			c.config.warn(c.tokens, funcr.New(func(_, line string) {
				lines = append(lines, line)
			}, funcr.Options{}))
			if len(lines) != c.wantLines {
				t.Errorf("the log is %q, want %d lines", lines, c.wantLines)
			}
		})
	}
}

// TestCertificatesAreRefused at the start, by flag and file.
func TestCertificatesAreRefused(t *testing.T) {
	good := mount(t, newKeyPair(t, "good", time.Now().Add(time.Hour)))
	other := mount(t, newKeyPair(t, "other", time.Now().Add(time.Hour)))
	crt, key := filepath.Join(good.dir, "tls.crt"), filepath.Join(good.dir, "tls.key")
	otherKey := filepath.Join(other.dir, "tls.key")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"without a key": {
			[]string{"--tls-cert-file", crt},
			"--tls-cert-file and --tls-key-file belong together: give both, or neither",
		},
		"without a certificate": {
			[]string{"--tls-key-file", key},
			"--tls-cert-file and --tls-key-file belong together: give both, or neither",
		},
		"a certificate that is not there": {
			[]string{"--tls-cert-file", "/nowhere", "--tls-key-file", key},
			"--tls-cert-file cannot be read: open /nowhere: no such file",
		},
		"a key that is not there": {
			[]string{"--tls-cert-file", crt, "--tls-key-file", "/nowhere"},
			"--tls-key-file cannot be read: open /nowhere: no such file",
		},
		"the key of another": {
			[]string{"--tls-cert-file", crt, "--tls-key-file", otherKey},
			"--tls-cert-file " + crt + " and --tls-key-file " + otherKey + " are no certificate with " +
				"its key: tls: private key does not match public key",
		},
		"a key for a certificate": {
			[]string{"--tls-cert-file", key, "--tls-key-file", key}, "are no certificate with its key",
		},
		"a version that is too old": {
			append(good.flags(), "--tls-min-version", "1.1"),
			`--tls-min-version must be 1.2 or 1.3, not "1.1"`,
		},
		"a version of nothing": {
			[]string{"--tls-min-version", "1.2"},
			"--tls-min-version is about TLS: it needs --tls-cert-file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, nil, append([]string{
				"serve", "--accounts", accounts(t), "--http-address", "127.0.0.1:0",
				"--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0",
			}, c.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) ||
				strings.Contains(string(out), "is serving") {
				t.Errorf("got  %v, %s\nwant %s", err, out, c.want)
			}
		})
	}
}
