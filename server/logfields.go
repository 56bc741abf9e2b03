package server

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/sluice-mail/sluice/limiter"
)

// What a line of the log says of a request. Paths, queries, headers and bodies may hold tokens, ids
// and mail addresses, wherever they do not belong. So no text of a caller is logged, except what
// cannot be one of those. See docs/design/0013-log-lines.md.

// requestFields are the fields of a log line that say which request it is about.
func requestFields(q *request) []any {
	r := q.http
	fields := []any{
		"operation", q.operation, "method", knownMethod(r.Method), "client", r.RemoteAddr,
	}
	if isName(q.account) {
		fields = append(fields, "account", q.account.Namespace+"/"+q.account.Name)
	}
	if agent := product(r.UserAgent()); agent != "" {
		fields = append(fields, "userAgent", agent)
	}
	return fields
}

// knownMethod returns a method if HTTP has it.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain = regexp.MustCompile(
		`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// isName reports whether an account can be a MailAccount: its namespace is a label of DNS (RFC
// 1123), and its name a subdomain. No mail address is one.
func isName(k limiter.Key) bool {
	return len(k.Namespace) <= 63 && len(k.Name) <= 253 &&
		label.MatchString(k.Namespace) && subdomain.MatchString(k.Name)
}

// agents are how programs name themselves first: letters, and the digits of a version.
var agents = regexp.MustCompile(`^[A-Za-z][A-Za-z-]{0,31}(/v?[0-9]{1,4}(\.[0-9]{1,4}){0,3})?( |$)`)

// product returns the program and the version that a User-Agent begins with, or nothing. What
// follows is free text, and often has an address.
func product(userAgent string) string {
	return strings.TrimSuffix(agents.FindString(userAgent), " ")
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*(?:"|$)`)

// masked leaves out of a message what it quotes: the words of a caller.
func masked(message string) string { return quoted.ReplaceAllString(message, `"…"`) }
