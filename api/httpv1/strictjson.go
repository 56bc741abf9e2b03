package httpv1

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The requests are flat objects of a few strings and integers, and they come with every mail. This reader takes exactly
// those. It is stricter than encoding/json, which ignores case and lets a field come twice, and says what to write
// instead; and it costs a tenth, which is measured in docs/performance.md.

// SyntaxError says what is wrong with a request's JSON.
type SyntaxError struct {
	// Offset is how many bytes of the body were read when it was noticed.
	Offset int
	// Message says what to change.
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Message, e.Offset) }

// reader is a position in a body.
type reader struct {
	body []byte
	at   int
}

// value is the value of a field: the reader in front of it.
type value struct {
	*reader
	name string
}

func (r *reader) fail(format string, args ...any) error {
	return &SyntaxError{Offset: r.at, Message: fmt.Sprintf(format, args...)}
}

// readObject reads a body that is one JSON object, or empty. It calls field for each of its fields; field must read the
// value. Names match exactly and come once; nothing may follow the object.
func readObject(body []byte, field func(name string, v *value) error) error {
	r := &reader{body: body}
	if r.next() == 0 && r.at == len(body) {
		return nil
	}
	if !r.take('{') {
		return r.fail("the body must be a JSON object, such as {}")
	}
	var seen [4]string
	for n := 0; !r.take('}'); n++ {
		if n > 0 && !r.take(',') {
			return r.fail("expected , or } after a field")
		}
		name, err := r.str("a field's name in double quotes")
		if err != nil {
			return err
		}
		if slices.Contains(seen[:min(n, len(seen))], name) {
			return r.fail("the field %q comes twice", name)
		}
		if !r.take(':') {
			return r.fail("expected : after the field's name %q", name)
		}
		r.next()
		if err := field(name, &value{r, name}); err != nil {
			return err
		}
		if n < len(seen) {
			seen[n] = name
		}
	}
	if r.next(); r.at < len(body) {
		return r.fail("nothing may follow the JSON object")
	}
	return nil
}

// next skips white space and returns the byte after it, 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and one byte, if it is c.
func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

// str reads a string.
func (r *reader) str(what string) (string, error) {
	if r.next() != '"' {
		return "", r.fail("expected %s", what)
	}
	start := r.at
	escaped := false
	for r.at++; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; {
		case c == '"':
			r.at++
			return r.unquote(r.body[start:r.at], escaped)
		case c == '\\':
			escaped = true
			r.at++ // whatever follows is no closing quote
		case c < 0x20:
			return "", r.fail("a string contains a control character; write it as \\u%04x", c)
		}
	}
	return "", r.fail("a string is not closed")
}

func (r *reader) unquote(quoted []byte, escaped bool) (string, error) {
	if !utf8.Valid(quoted) {
		return "", r.fail("a string is not UTF-8")
	}
	if !escaped {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", r.fail("a string has an escape that JSON does not know")
	}
	return s, nil
}

// text reads a string value.
func (v *value) text(to **string) error {
	if v.next() != '"' {
		return v.fail("%s must be a string, not %s", v.name, v.kind())
	}
	s, err := v.str("")
	*to = &s
	return err
}

// integer reads an integer value. One that is too large for 64 bits becomes the largest or smallest there is, which no
// bound admits.
func (v *value) integer(to **int64) error {
	start := v.at
	c := v.next()
	if c != '-' && (c < '0' || c > '9') {
		return v.fail("%s must be an integer, not %s", v.name, v.kind())
	}
	if c == '-' {
		v.at++
	}
	digits := v.at
	for v.at < len(v.body) && v.body[v.at] >= '0' && v.body[v.at] <= '9' {
		v.at++
	}
	switch {
	case v.at == digits, v.body[digits] == '0' && v.at > digits+1:
		return v.fail("%s is not a number that JSON knows", v.name)
	case v.at < len(v.body) && (v.body[v.at] == '.' || v.body[v.at]|0x20 == 'e'):
		return v.fail("%s must be an integer, without a fraction or an exponent", v.name)
	}
	n, err := strconv.ParseInt(string(v.body[start:v.at]), 10, 64)
	if err != nil {
		if n = math.MaxInt64; c == '-' {
			n = math.MinInt64
		}
	}
	*to = &n
	return nil
}

// unknown refuses a field, and says which ones there are.
func (v *value) unknown(known string) error {
	return v.fail("there is no field %q; the fields are %s", v.name, known)
}

// kind names the type of the value that comes next.
func (v *value) kind() string {
	switch v.next() {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	}
	return "this"
}
