package sluice

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultAttemptTimeout is how long a Client waits for one response, unless Options say otherwise.
const DefaultAttemptTimeout = 10 * time.Second

// Options are what can be chosen about a Client. The zero value is ready to use.
type Options struct {
	// Transport carries the requests. If it is nil, the Client makes one of its own, which takes a
	// proxy from the environment, as http.DefaultTransport does. [NewTransport] makes one that
	// trusts the authority of a cluster.
	Transport http.RoundTripper
	// AttemptTimeout bounds one attempt of a call, from the connection to the last byte of the
	// response. The context bounds the call as a whole. 0 is DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Retry says how a call is repeated that Sluice could not answer.
	Retry Retry
	// TokenFile is a file with the bearer token that says who calls, such as the one of a projected
	// ServiceAccount token. It is read again every 10 seconds at most, so that it may be renewed at
	// any time. Empty sends no token.
	TokenFile string
	// UserAgent is the header of that name. Empty is "sluice-go".
	UserAgent string
}

// Client calls one Sluice. All its methods are safe for concurrent use.
type Client struct {
	base      string // the URL without a slash at the end
	display   string // the same without a password, for errors
	http      http.Client
	retry     Retry
	token     *tokenFile // nil: none is sent
	userAgent string
}

// New returns a client of the Sluice at a URL such as http://sluice.sluice-system.svc:8080. The URL
// may have a path, with or without a slash at the end. New does not connect. It returns an error if
// the URL is not one of HTTP, or if an option is negative.
func New(baseURL string, o Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of Sluice: %w", err)
	}
	isHTTP := u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
	if !isHTTP || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the URL of Sluice must be such as http://localhost:8080, not %q", baseURL)
	}
	if o.AttemptTimeout < 0 {
		return nil, fmt.Errorf("AttemptTimeout must be 0 or more, not %s", o.AttemptTimeout)
	}
	if err := o.Retry.validate(); err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	c := &Client{
		base:    strings.TrimRight(u.String(), "/"),
		display: strings.TrimRight(u.Redacted(), "/"),
		http: http.Client{
			Transport: o.Transport,
			Timeout:   cmp.Or(o.AttemptTimeout, DefaultAttemptTimeout),
			// Sluice does not redirect. Whoever does is something else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		retry:     o.Retry.withDefaults(),
		userAgent: cmp.Or(o.UserAgent, "sluice-go"),
	}
	if o.TokenFile != "" {
		c.token = &tokenFile{path: o.TokenFile}
	}
	return c, nil
}

// CloseIdleConnections closes the connections that the transport keeps for later calls. It does not
// interrupt calls. The Client can be used afterwards.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }
