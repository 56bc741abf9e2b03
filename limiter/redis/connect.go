package redis

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/valkey-io/valkey-go"
)

// Connection says where the server is, and who asks.
type Connection struct {
	// URL is redis://host:6379, or rediss:// for TLS. More hosts of a cluster are &addr=host:port;
	// ?master_set=name makes the hosts those of Sentinels.
	URL string
	// UsernameFile and PasswordFile are read anew for every connection, so that a password may
	// rotate. They go before what the URL says.
	UsernameFile, PasswordFile string
	// CAFile has the certificates to trust, instead of the system's. It is read anew, too. The URL
	// must be rediss://.
	CAFile string
	// Timeout bounds a dial, and how long a connection that gives no answer is waited for. 0 is a
	// second.
	Timeout time.Duration
}

// Connect returns a client, as for [AcceptLoss] and [Inspect]. It has connected once when it
// returns without an error. The caller closes it.
func Connect(c Connection) (valkey.Client, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	return valkey.NewClient(o)
}

func (c Connection) options() (valkey.ClientOption, error) {
	o, err := valkey.ParseURL(c.URL)
	if err != nil { // the error of a URL has the URL in it, and that a password
		return o, errors.New("the URL of Redis is not as in redis://host:6379 or rediss://host:6379")
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Second
	}
	o.ClientName = "sluice"
	o.DisableCache = true    // but for denials.go
	o.PipelineMultiplex = -1 // one connection, in which concurrent calls share system calls
	o.RingScaleEachConn = ringScale
	// What broke is repeated by us: the client would use the memory of a command again that the
	// writer of the broken connection may still read.
	o.DisableRetry = true
	o.ConnWriteTimeout = c.Timeout
	o.Dialer = net.Dialer{Timeout: c.Timeout, KeepAlive: c.Timeout}
	if o.TLSConfig != nil {
		o.TLSConfig.MinVersion = tls.VersionTLS12
		o.TLSConfig.ServerName = "" // each node has the name by which it is dialed, not the first's
	}
	if c.CAFile != "" {
		if o.TLSConfig == nil {
			return o, errors.New("a CA file is for a URL that begins with rediss://")
		}
		if _, err := readCertificates(c.CAFile); err != nil {
			return o, err
		}
	}
	o.DialCtxFn = c.dial
	if c.UsernameFile != "" || c.PasswordFile != "" {
		o.AuthCredentialsFn = credentials(c, o.Username, o.Password)
		o.Username, o.Password = "", ""
	}
	if o.Sentinel.MasterSet != "" {
		o.Sentinel.TLSConfig, o.Sentinel.Dialer = o.TLSConfig, o.Dialer
	}
	return o, nil
}

// dial makes a connection. The CA file is read anew, as it may rotate.
func (c Connection) dial(
	ctx context.Context, to string, d *net.Dialer, t *tls.Config,
) (net.Conn, error) {
	if t == nil {
		return d.DialContext(ctx, "tcp", to)
	}
	if c.CAFile != "" {
		var err error
		t = t.Clone()
		if t.RootCAs, err = readCertificates(c.CAFile); err != nil {
			return nil, err
		}
	}
	return (&tls.Dialer{NetDialer: d, Config: t}).DialContext(ctx, "tcp", to)
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

// credentials reads the files whenever a connection is made.
func credentials(
	c Connection, username, password string,
) func(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
	return func(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
		as := valkey.AuthCredentials{Username: username, Password: password}
		for file, to := range map[string]*string{
			c.UsernameFile: &as.Username, c.PasswordFile: &as.Password,
		} {
			if file == "" {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return as, err
			}
			*to = string(bytes.TrimRight(content, "\r\n"))
		}
		return as, nil
	}
}
