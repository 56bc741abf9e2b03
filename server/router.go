package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-mail/sluice/limiter"
)

// router finds what answers a request. http.ServeMux would redirect unclean paths in plain text, take an escaped slash
// for the end of a path, and cost more than the decision that it leads to; docs/performance.md has the numbers.
type router struct {
	resources []*resource
	notFound  serveFunc
}

// resource is one path, and what answers there.
type resource struct {
	pattern     string
	segments    []string
	methods     map[string]serveFunc
	otherMethod serveFunc
}

// at is the resource of a pattern, which is added if it is new.
func (rt *router) at(pattern string) *resource {
	for _, res := range rt.resources {
		if res.pattern == pattern {
			return res
		}
	}
	res := &resource{pattern: pattern, segments: strings.Split(pattern, "/")[1:], methods: map[string]serveFunc{}}
	rt.resources = append(rt.resources, res)
	return res
}

// find returns what answers a request, and the account that its path names, if it names one.
func (rt *router) find(r *http.Request) (serveFunc, limiter.Key) {
	// Where net/url keeps no RawPath, nothing in Path was escaped that would mean something else unescaped.
	path, escaped := r.URL.Path, false
	if r.URL.RawPath != "" {
		path, escaped = r.URL.RawPath, true
	}
	var buffer [maxSegments]string
	segments, ok := split(path, buffer[:0])
	if !ok || r.Method == http.MethodConnect {
		return rt.notFound, limiter.Key{}
	}
	for _, res := range rt.resources {
		if account, ok := res.match(segments, escaped); ok {
			if serve := res.methods[r.Method]; serve != nil {
				return serve, account
			}
			return res.otherMethod, account
		}
	}
	return rt.notFound, limiter.Key{}
}

// maxSegments is the most that any path has.
const maxSegments = 5

// split appends the segments of a clean path.
func split(path string, segments []string) (_ []string, ok bool) {
	if path == "" || path[0] != '/' {
		return nil, false
	}
	path = path[1:]
	for more := true; more; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		if segment == "" || segment == "." || segment == ".." || len(segments) == maxSegments {
			return nil, false
		}
		segments = append(segments, segment)
	}
	return segments, true
}

// match says whether a path is the resource's, and which account it names. What is escaped in a name is part of it, also
// a dot or a slash: a name that could not be is one of no account, and not another path.
func (res *resource) match(segments []string, escaped bool) (account limiter.Key, ok bool) {
	if len(segments) != len(res.segments) {
		return account, false
	}
	for i, want := range res.segments {
		switch want {
		case "{namespace}":
			account.Namespace, ok = unescape(segments[i], escaped)
		case "{name}":
			account.Name, ok = unescape(segments[i], escaped)
		default:
			ok = segments[i] == want
		}
		if !ok {
			return limiter.Key{}, false
		}
	}
	return account, true
}

func unescape(segment string, escaped bool) (string, bool) {
	if !escaped {
		return segment, true
	}
	name, err := url.PathUnescape(segment)
	return name, err == nil
}
