package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/sluice-mail/sluice/server"
)

// tlsConfig says which certificate the API and the metrics have, if they have one.
type tlsConfig struct {
	certFile   string
	keyFile    string
	minVersion string
}

const defaultTLSVersion = "1.3"

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// certificatePoll is how often the certificate is read, besides when its files tell of a change.
const certificatePoll = 10 * time.Second

func (c *tlsConfig) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.certFile, "tls-cert-file", "",
		"serve the API and the metrics over TLS, with the certificate in this file, which is read "+
			"again when it changes")
	flags.StringVar(&c.keyFile, "tls-key-file", "",
		"with --tls-cert-file: the file with the certificate's private key")
	flags.StringVar(&c.minVersion, "tls-min-version", defaultTLSVersion,
		"with --tls-cert-file: the oldest version of TLS that callers may speak, 1.2 or 1.3")
}

func (c *tlsConfig) enabled() bool { return c.certFile != "" }

func (c *tlsConfig) validate() error {
	switch {
	case (c.certFile == "") != (c.keyFile == ""):
		return errors.New("--tls-cert-file and --tls-key-file belong together: " +
			"give both, or neither")
	case tlsVersions[c.minVersion] == 0:
		return fmt.Errorf("--tls-min-version must be 1.2 or 1.3, not %q", c.minVersion)
	case !c.enabled() && c.minVersion != defaultTLSVersion:
		return errors.New("--tls-min-version is about TLS: it needs --tls-cert-file")
	}
	return nil
}

// warn says once what it means that callers send tokens, if connections are not encrypted.
func (c *tlsConfig) warn(tokens bool, log logr.Logger) {
	if tokens && !c.enabled() {
		log.Info("callers send their tokens unencrypted: whoever can listen on the network can use " +
			"them at this Sluice until they end; --tls-cert-file and --tls-key-file encrypt them")
	}
}

// certificate is the one that connections are encrypted with. It is read again when it changes.
type certificate struct {
	config  tlsConfig
	watcher *certwatcher.CertWatcher
	log     logr.Logger
}

// read reads the certificate, and has the registry tell when it ends.
func (c *tlsConfig) read(
	registry prometheus.Registerer, log logr.Logger,
) (*certificate, error) {
	for _, f := range []struct{ flag, name string }{
		{"--tls-cert-file", c.certFile}, {"--tls-key-file", c.keyFile},
	} {
		if _, err := os.ReadFile(f.name); err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", f.flag, err)
		}
	}
	watcher, err := certwatcher.New(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file %s and --tls-key-file %s are no certificate "+
			"with its key: %w", c.certFile, c.keyFile, err)
	}
	// The watcher reads when the files change. Start does the rest, and knows what to log.
	watcher.WithWatchInterval(math.MaxInt64)
	held := &certificate{config: *c, watcher: watcher, log: log.WithName("tls")}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate of the API and the metrics ends, in seconds since 1970.",
	}, func() float64 { return float64(held.ends().Unix()) }))
	return held, nil
}

// ends returns when the certificate that is used ends.
func (c *certificate) ends() time.Time {
	used, err := c.watcher.GetCertificate(nil)
	if err != nil || used == nil || used.Leaf == nil {
		return time.Time{}
	}
	return used.Leaf.NotAfter
}

// over returns the listener with TLS over it.
func (c *certificate) over(listener net.Listener) net.Listener {
	return server.ListenTLS(listener, tlsVersions[c.config.minVersion], c.watcher.GetCertificate)
}

// Start follows the files until the context ends. While they cannot be used, the certificate from
// before stays.
func (c *certificate) Start(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- c.watcher.Start(ctx) }()
	tick := time.NewTicker(certificatePoll)
	defer tick.Stop()
	said := ""
	for {
		said = c.tell(said)
		select {
		case <-tick.C:
		case err := <-ended:
			if ctx.Err() == nil { // the files are still polled
				c.log.Error(err, "the files of the certificate cannot be watched")
			}
			ended = nil
		case <-ctx.Done():
			return nil
		}
	}
}

// tell reads the files, and logs what is wrong with them, unless that was said before. It returns
// what is wrong.
func (c *certificate) tell(said string) string {
	if err := c.watcher.ReadCertificate(); err != nil {
		if err.Error() != said {
			c.log.Error(err, "the files of the certificate cannot be used; the certificate from "+
				"before stays", "--tls-cert-file", c.config.certFile,
				"--tls-key-file", c.config.keyFile, "until", c.ends())
		}
		return err.Error()
	}
	if ends := c.ends(); time.Now().After(ends) {
		const over = "the certificate has ended; callers refuse it"
		if said != over {
			c.log.Error(nil, over, "--tls-cert-file", c.config.certFile, "at", ends)
		}
		return over
	}
	return ""
}
