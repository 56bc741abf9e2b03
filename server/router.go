package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-mail/sluice/limiter"
)

// router finds what serves a request. http.ServeMux would redirect unclean paths in plain text,
// decode an escaped slash before it splits the path, and cost more time than the decision does; see
// docs/performance.md.
type router struct {
	resources []*resource
	notFound  serveFunc
}

// resource is one path, with what serves each of its methods.
type resource struct {
	pattern     string
	segments    []string
	methods     map[string]serveFunc
	otherMethod serveFunc
}

// at returns the resource of a pattern, and adds it first if there is none.
func (rt *router) at(pattern string) *resource {
	for _, res := range rt.resources {
		if res.pattern == pattern {
			return res
		}
	}
	res := &resource{
		pattern:  pattern,
		segments: strings.Split(pattern, "/")[1:],
		methods:  map[string]serveFunc{},
	}
	rt.resources = append(rt.resources, res)
	return res
}

// find returns what serves a request, and the account that its path names, if it names one.
func (rt *router) find(r *http.Request) (serveFunc, limiter.Key) {
	// Path is unescaped. net/url also keeps RawPath where that loses something, such as %2F.
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

// maxSegments is the number of segments of the longest path.
const maxSegments = 5

// split appends the segments of a path. It reports whether the path is clean: it begins with a
// slash, and no segment is empty, "." or "..".
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

// match reports whether a path is that of the resource, and returns the account that it names. An
// escaped slash or dot is part of the name: no account has such a name, but it is no other path.
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
