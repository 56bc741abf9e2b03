package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// requestTimeout is how long to wait for an answer. Sluice answers in microseconds or not at all.
const requestTimeout = 10 * time.Second

// maxAnswerBytes is more than the largest answer: a page of accounts, or a batch of decisions.
const maxAnswerBytes = 8 << 20

// client sends requests.
type client struct {
	base string
	http http.Client
}

func newClient(c *Config) *client {
	transport := c.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConns, own.MaxIdleConnsPerHost, own.MaxConnsPerHost = 0, c.Connections, c.Connections
		own.DisableCompression = true // the load should not be spent on that
		transport = own
	}
	return &client{base: strings.TrimSuffix(c.URL, "/"), http: http.Client{Transport: transport, Timeout: requestTimeout}}
}

// answer is what came back for one request, and when.
type answer struct {
	sent, received time.Time
	status         int
	body           []byte
	err            error
}

func (c *client) get(ctx context.Context, path string) answer {
	return c.do(ctx, http.MethodGet, path, nil)
}

func (c *client) post(ctx context.Context, path string, body any) answer {
	encoded, err := json.Marshal(body)
	if err != nil {
		now := time.Now()
		return answer{sent: now, received: now, err: err}
	}
	return c.do(ctx, http.MethodPost, path, encoded)
}

func (c *client) do(ctx context.Context, method, path string, body []byte) (a answer) {
	a.sent = time.Now()
	defer func() { a.received = time.Now() }()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	a.sent = time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer func() { _ = resp.Body.Close() }()
	a.status = resp.StatusCode
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	return a
}

// decode reads a 200 into v. Anything else is an error, a *httpv1.Problem if it is one.
func (a *answer) decode(v any) error {
	if a.err != nil {
		return a.err
	}
	if a.status == http.StatusOK {
		if err := json.Unmarshal(a.body, v); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		return nil
	}
	p := &httpv1.Problem{}
	if err := json.Unmarshal(a.body, p); err == nil && strings.HasPrefix(p.Type, httpv1.ProblemBase) {
		return p
	}
	return statusError(a.status)
}

// errUnreadable is a 200 with something else than what was asked for.
var errUnreadable = errors.New("the answer cannot be read")

// statusError is an answer that Sluice does not give: that of a proxy, say.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("the answer is %d %s", int(e), http.StatusText(int(e)))
}

// kind names an error for the count of problems: the type of the problem, or what there was instead of an answer.
func kind(err error) string {
	if p, ok := errors.AsType[*httpv1.Problem](err); ok {
		return strings.TrimPrefix(p.Type, httpv1.ProblemBase)
	}
	if s, ok := errors.AsType[statusError](err); ok {
		return fmt.Sprintf("status %d", int(s))
	}
	if errors.Is(err, errUnreadable) {
		return "unreadable answer"
	}
	return "no answer"
}
