package httpv1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The requests are flat objects of a few strings and integers, or lists of those, and they come with every mail. This
// reader takes exactly those. It is stricter than encoding/json, which ignores case and lets a field come twice, and
// says what to write instead; and it costs a tenth, which is measured in docs/performance.md.

// SyntaxError says what is wrong with a request's JSON.
type SyntaxError struct {
	// Offset is how many bytes of the body were read when it was noticed.
	Offset int
	// Message says what to change.
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Message, e.Offset) }

// fields are those that an object may have; read reads the value of one of them into a T.
type fields[T any] []field[T]

type field[T any] struct {
	name string
	read func(*T, *reader) error
}

// join makes one list of several.
func join[T any](parts ...fields[T]) (all fields[T]) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// within makes fields of a T of those of a part of it.
func within[T, Part any](of fields[Part], part func(*T) *Part) (lifted fields[T]) {
	for _, f := range of {
		lifted = append(lifted, field[T]{f.name, func(into *T, r *reader) error { return f.read(part(into), r) }})
	}
	return lifted
}

// decode reads a body that is one JSON object, or empty. Nothing may follow the object.
func (f fields[T]) decode(body []byte, into *T) error {
	r := &reader{body: body, index: -1}
	if r.next() == 0 && r.at == len(body) {
		return nil
	}
	if r.next() != '{' || bytes.HasPrefix(body, []byte("{\x00")) {
		return r.noObject()
	}
	if err := f.read(r, into); err != nil {
		return err
	}
	if r.next(); r.at < len(body) {
		return r.fail("nothing may follow the JSON object")
	}
	return nil
}

// read reads an object. Names match exactly and come once.
func (f fields[T]) read(r *reader, into *T) error {
	r.take('{')
	var seen uint
	for n := 0; !r.take('}'); n++ {
		if n > 0 && !r.take(',') {
			return r.fail("expected , or } after a field")
		}
		name, err := r.str("a field's name in double quotes")
		if err != nil {
			return err
		}
		i := f.index(name)
		if i < 0 {
			return r.fail("there is no field %q; the fields are %s", Excerpt(string(name)), f.names())
		}
		if seen&(1<<i) != 0 {
			return r.fail("the field %q comes twice", f[i].name)
		}
		seen |= 1 << i
		if !r.take(':') {
			return r.fail("expected : after the field's name %q", f[i].name)
		}
		r.next()
		r.name = f[i].name
		if err := f[i].read(into, r); err != nil {
			return err
		}
	}
	return nil
}

func (f fields[T]) index(name []byte) int {
	for i := range f {
		if f[i].name == string(name) {
			return i
		}
	}
	return -1
}

// names lists the fields, for people.
func (f fields[T]) names() string {
	var list []string
	for i := range f {
		list = append(list, f[i].name)
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return list[0]
}

// readList reads an array of at most MaxBatch objects.
func readList[T any](r *reader, f fields[T], to *[]T) error {
	if !r.take('[') {
		return r.fail("%s must be an array, not %s", r.field(), r.kind())
	}
	r.list = r.name
	list := []T{}
	for r.index = 0; !r.take(']'); r.index++ {
		if r.index > 0 && !r.take(',') {
			return r.fail("expected , or ] after an element of %s", r.list)
		}
		if r.index == MaxBatch {
			return InvalidField.Problem(fmt.Sprintf("%s can have at most %d elements; send the others in another request.", r.list, MaxBatch))
		}
		if r.next() != '{' {
			return r.fail("%s[%d] must be an object, not %s", r.list, r.index, r.kind())
		}
		var item T
		if err := f.read(r, &item); err != nil {
			return err
		}
		list = append(list, item)
	}
	r.index = -1
	*to = list
	return nil
}

// reader is a position in a body.
type reader struct {
	body []byte
	at   int
	// Where that is, for messages: the field whose value comes next, and the list and index that it is in, if any
	// (-1: none).
	name, list string
	index      int
}

// fail is an error at this position.
func (r *reader) fail(format string, args ...any) error {
	return &SyntaxError{Offset: r.at, Message: fmt.Sprintf(format, args...)}
}

// noObject says what a body is instead of a JSON object. Some programs write a byte order mark, or
// UTF-16, without being asked to.
func (r *reader) noObject() error {
	switch {
	case bytes.HasPrefix(r.body, []byte("\xef\xbb\xbf")):
		return r.fail("the body begins with a byte order mark (EF BB BF); send it without")
	case bytes.HasPrefix(r.body, []byte("\xfe\xff")), bytes.HasPrefix(r.body, []byte("\xff\xfe")),
		bytes.HasPrefix(r.body, []byte("{\x00")),
		bytes.HasPrefix(r.body, []byte("\x00{")), bytes.HasPrefix(r.body, []byte("\x00\x00")):
		return r.fail("the body is UTF-16 or UTF-32; send UTF-8, without a byte order mark")
	}
	return r.fail("the body must be a JSON object, such as {}")
}

// field is the field whose value comes next, with the list it is in.
func (r *reader) field() string {
	if r.index < 0 {
		return r.name
	}
	return fmt.Sprintf("%s[%d].%s", r.list, r.index, r.name)
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

// str reads a string. The bytes may be part of the body.
func (r *reader) str(what string) ([]byte, error) {
	if r.next() != '"' {
		return nil, r.fail("expected %s", what)
	}
	start := r.at
	ascii, escaped := true, false
	for r.at++; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; {
		case c == '"':
			r.at++
			if ascii && !escaped {
				return r.body[start+1 : r.at-1], nil
			}
			return r.unquote(r.body[start:r.at])
		case c == '\\':
			escaped = true
			r.at++ // whatever follows is no closing quote
		case c < 0x20:
			return nil, r.fail("a string contains a control character; write it as \\u%04x", c)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, r.fail("a string is not closed")
}

func (r *reader) unquote(quoted []byte) ([]byte, error) {
	if !utf8.Valid(quoted) {
		return nil, r.fail("a string is not UTF-8")
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, r.fail("a string has an escape that JSON does not know")
	}
	return []byte(s), nil
}

// plain reads a string value.
func (r *reader) plain(to *string) error {
	if r.next() != '"' {
		return r.fail("%s must be a string, not %s", r.field(), r.kind())
	}
	s, err := r.str("")
	*to = string(s)
	return err
}

// text reads a string value that may be left out.
func (r *reader) text(to **string) error {
	*to = new(string)
	return r.plain(*to)
}

// kind names the type of the value that comes next.
func (r *reader) kind() string {
	switch r.next() {
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
