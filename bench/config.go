package bench

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Config are the settings of a run.
type Config struct {
	// URL is where the HTTP API is.
	URL string
	// TokenFile is a file with the bearer token that says who calls. Empty sends none.
	TokenFile string
	// CAFile has the certificates to trust; empty means the system's.
	CAFile string
	// Accounts is how many accounts to use at most: the first of Namespace whose names begin with
	// Prefix. An empty Namespace is all of them. Suspended accounts are left out.
	Accounts  int
	Namespace string
	Prefix    string
	// Connections is how many requests may be under way at a time.
	Connections int
	// Duration is for how long to send checks.
	Duration time.Duration
	// Batch is how many checks go into one request. From 2 on the batch calls are used.
	Batch int
	// Rate is how many requests become due per second, commits and releases included, whether or
	// not those before them were answered. With 0 each connection sends the next request as soon as
	// it has an answer.
	Rate float64
	// Commit is the part of the allowed checks that is committed, 0 to 1. The rest is released.
	Commit float64
	// Transport carries the requests; nil means connections of its own.
	Transport http.RoundTripper
}

// maxRate is far above what one process can send. It keeps the arithmetic of due times exact.
const maxRate = 10_000_000

// Validate says what is wrong with a Config, in the words of the flags.
func (c *Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("--url must be such as http://localhost:8080, not %q", c.URL)
	case c.Accounts < 1:
		return fmt.Errorf("--accounts must be 1 or more, not %d", c.Accounts)
	case c.Connections < 1:
		return fmt.Errorf("--connections must be 1 or more, not %d", c.Connections)
	case c.Duration <= 0:
		return fmt.Errorf("--duration must be longer than 0, not %s", c.Duration)
	case c.Batch < 1 || c.Batch > httpv1.MaxBatch:
		return fmt.Errorf("--batch must be 1 to %d, not %d", httpv1.MaxBatch, c.Batch)
	case !(c.Rate >= 0 && c.Rate <= maxRate): // also NaN
		return fmt.Errorf("--rate must be 0 to %d requests/s, not %v", maxRate, c.Rate)
	case !(c.Commit >= 0 && c.Commit <= 1):
		return fmt.Errorf("--commit must be 0 to 1, not %v", c.Commit)
	}
	return nil
}
