package kubeauth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// maxTokenBytes is the longest token that is looked at. One of Kubernetes has 1 to 2 KiB.
const maxTokenBytes = 8 << 10

// clockSkew is how far the clock of the API server may be ahead of ours.
const clockSkew = 5 * time.Minute

// claims are what a token says of itself. Nobody has verified them.
type claims struct {
	Subject   string      `json:"sub"`
	Audiences audiences   `json:"aud"`
	Expires   numericDate `json:"exp"`
	NotBefore numericDate `json:"nbf"`
}

// audiences is one string or many.
type audiences []string

func (a *audiences) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*a = make(audiences, 1)
		return json.Unmarshal(data, &(*a)[0])
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// numericDate is in seconds since 1970, as in RFC 7519. Zero is none.
type numericDate float64

func (d numericDate) time() time.Time {
	seconds, fraction := math.Modf(float64(d))
	return time.Unix(int64(seconds), int64(fraction*1e9))
}

// maxDate is beyond any token: the end of the year 9999.
const maxDate numericDate = 253402300799

// parseClaims reads what a token says of itself. It does not verify it.
func parseClaims(token string) (c claims, ok bool) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, three := strings.Cut(rest, ".")
	if !three {
		return c, false
	}
	var object map[string]json.RawMessage
	return c, decodePart(header, &object) && decodePart(payload, &c) && len(signature) > 0 &&
		isBase64(signature) && c.Expires <= maxDate && c.NotBefore <= maxDate
}

func decodePart(part string, into any) bool {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

// isBase64 reports whether a signature is written in the one way that base64url has for it, so that
// nobody makes many tokens out of one.
func isBase64(signature string) bool {
	if strings.ContainsAny(signature, "\r\n") {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	return err == nil
}

// refusal returns why a token with these claims is refused without a review: the reason, as a label
// of metrics, and the problem. There is none if the token is worth a review.
func (c *claims) refusal(now time.Time, audience string) (reason string, _ *httpv1.Problem) {
	switch {
	case !slices.Contains(c.Audiences, audience):
		return reasonAudience, wrongAudience(c.Audiences, audience)
	case c.Expires <= 0 || !now.Before(c.Expires.time()):
		return reasonExpired, problemExpired
	case c.NotBefore > 0 && c.NotBefore.time().After(now.Add(clockSkew)):
		return reasonExpired, problemNotYet
	}
	return "", nil
}
