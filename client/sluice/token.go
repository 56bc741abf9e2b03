package sluice

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenAge is how long a token is used before its file is read again. Kubernetes writes the next
// token into the file long before the last one expires.
const tokenAge = 10 * time.Second

// tokenFile is a file with a bearer token that somebody else renews.
type tokenFile struct {
	path string
	mu   sync.Mutex
	// The token that was read last, and until when it is used.
	token string
	until time.Time
}

// read returns the token.
func (f *tokenFile) read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.until) {
		return f.token, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("the token cannot be read: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("the token cannot be read: %s is empty", f.path)
	}
	// What net/http would say of a bad header repeats it.
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the token cannot be read: " + f.path +
			" holds more than one token, or none")
	}
	f.token, f.until = token, now.Add(tokenAge)
	return token, nil
}
