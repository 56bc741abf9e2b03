//go:build chaos

package apiserver

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

const (
	floodCallers = 8
	// floodMiB is how much more memory a flood may take: the caches of tokens are 10 MB, and the
	// heap grows to twice what is used.
	floodMiB = 48
)

// floodSize is how many bad tokens are sent.
func floodSize() int {
	if testing.Short() {
		return 20_000
	}
	return 1_000_000
}

// TestAFloodOfBadTokens sends tokens that nobody issued, while callers who are known, and some who
// are new, go on. What is remembered, counted and logged stays bounded, and the API server is asked
// about few of them.
func TestAFloodOfBadTokens(t *testing.T) {
	p, known := started(t)
	bad := newBadTokens(t)
	flood(t, p, bad, 2000) // connections and pools
	before := p.state()
	lines := strings.Count(p.log.String(), "\n")
	began := time.Now()
	l := p.load(known)
	done := make(chan struct{})
	go func() {
		defer close(done)
		flood(t, p, bad, floodSize())
	}()
	for newcomers := true; newcomers; {
		fresh := p.as(token(t, "sender"))
		if got := p.check(fresh, "known"); got != httpv1.Allow {
			t.Errorf("meanwhile a caller who is new is answered with %s", got)
		}
		select {
		case <-done:
			newcomers = false
		case <-time.After(time.Second):
		}
	}
	took := time.Since(began)
	l.end(took)
	after := p.state()
	t.Logf("%d bad tokens in %s: before %v, after %v", floodSize(), took.Round(time.Second),
		before, after)
	if more := (after.resident - before.resident) / (1 << 20); more > floodMiB {
		t.Errorf("it takes %.0f MiB more memory, want at most %d", more, floodMiB)
	}
	if after.series > before.series+10 {
		t.Errorf("there are %d series, and %d before", after.series, before.series)
	}
	// Of those that only the API server can verify, it is asked about twenty a second.
	if asked, most := after.reviews-before.reviews, 25*took.Seconds()+200; asked > most {
		t.Errorf("the API server was asked about %.0f tokens, want at most %.0f", asked, most)
	}
	// Ten lines, and one that counts, of a few kinds in each ten seconds.
	logged := strings.Count(p.log.String(), "\n") - lines
	if most := 11 * 6 * (int(took/(10*time.Second)) + 2); logged > most {
		t.Errorf("%d lines were logged, want at most %d", logged, most)
	}
}

// badTokens makes tokens that look like those of the cluster.
type badTokens struct{ header, otherHeader, claims, elsewhere string }

func newBadTokens(t *testing.T) badTokens {
	t.Helper()
	parts := strings.Split(token(t, "sender"), ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]string
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	header["kid"] = "nobody-has-this-key"
	if text, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := newToken(t.Context(), "sender", "https://elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	return badTokens{parts[0], base64.RawURLEncoding.EncodeToString(text), parts[1], elsewhere}
}

// next is the bad token of a number: mostly a forgery, and no two of these are the same.
func (b badTokens) next(n int) string {
	signature := make([]byte, 256)
	_, _ = rand.Read(signature)
	text := base64.RawURLEncoding.EncodeToString(signature)
	switch n % 8 {
	case 0:
		return text
	case 1:
		return b.elsewhere
	case 2:
		return b.otherHeader + "." + b.claims + "." + text
	}
	return b.header + "." + b.claims + "." + text
}

// flood sends so many bad tokens. Each must be refused.
func flood(t *testing.T, p *process, bad badTokens, size int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floodCallers}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for caller := range floodCallers {
		all.Go(func() {
			for n := caller; n < size; n += floodCallers {
				r, err := http.NewRequest(http.MethodPost,
					"http://"+p.api+"/v1/accounts/"+namespace+"/known/check", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+bad.next(n))
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if s := resp.StatusCode; s != http.StatusUnauthorized &&
					s != http.StatusServiceUnavailable {
					t.Errorf("a bad token is answered %s", resp.Status)
					return
				}
			}
		})
	}
	all.Wait()
}

// state is what a flood must not change.
type state struct {
	resident float64 // bytes
	series   int
	reviews  float64 // of tokens
}

// state reads it from the metrics.
func (p *process) state() (s state) {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(p.metricsRequest())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		var value float64
		if _, err := fmt.Sscan(text, &value); err != nil || name == "#" {
			continue
		}
		s.series++
		switch {
		case name == "process_resident_memory_bytes":
			s.resident = value
		case strings.HasPrefix(name, "sluice_auth_reviews_total{") &&
			strings.Contains(name, `kind="token"`):
			s.reviews += value
		}
	}
	if s.resident == 0 || s.reviews == 0 {
		p.t.Fatalf("the metrics say nothing of memory or reviews: %s", resp.Status)
	}
	return s
}
