package httpv1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The requests are flat objects of a few strings and integers, or lists of such objects. This
// reader takes exactly those, strictly, and says what to write instead. docs/design/0003 says why
// it is not encoding/json, docs/performance.md what it costs.

// SyntaxError says what is wrong with a request's JSON.
type SyntaxError struct {
	// Offset is how many bytes of the body had been read when the error was noticed.
	Offset int
	// Message says what to change.
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Message, e.Offset) }

// field is one field that an object may have: its name, and a pointer to where its value goes.
type field struct {
	name string
	to   any // *string, **string, **int64, or a pointer to a list of items
	seen bool
}

// object is a pointer to a struct that is read from a JSON object.
type object[T any] interface {
	*T
	// fields appends the fields of the object.
	fields([]field) []field
}

// maxFields is the number of fields that the largest object has.
const maxFields = 5

// decode reads a body that is one JSON object, or empty. Nothing may follow the object.
func decode(body []byte, fields []field) error {
	r := reader{body: body, index: -1}
	if r.peek() == 0 && r.at == len(body) {
		return nil
	}
	if r.peek() != '{' || bytes.HasPrefix(body, []byte("{\x00")) {
		return r.noObject()
	}
	if err := r.object(fields); err != nil {
		return err
	}
	if r.peek(); r.at < len(body) {
		return r.fail("nothing may follow the JSON object")
	}
	return nil
}

// reader is a position in a body.
type reader struct {
	body []byte
	at   int
	// For messages: the field whose value comes next, and the list and the index of the item that
	// has this field. The index is -1 outside of a list.
	name, list string
	index      int
}

// object reads an object. Names match exactly, and each may come once.
func (r *reader) object(fields []field) error {
	for i := range fields {
		fields[i].seen = false
	}
	r.skip('{')
	for n := 0; !r.skip('}'); n++ {
		if n > 0 && !r.skip(',') {
			return r.fail("expected , or } after a field")
		}
		name, err := r.str("a field's name in double quotes")
		if err != nil {
			return err
		}
		f := find(fields, name)
		if f == nil {
			return r.fail("there is no field %s; the fields are %s",
				Named(string(name)), names(fields))
		}
		if f.seen {
			return r.fail("the field %q comes twice", f.name)
		}
		f.seen = true
		if !r.skip(':') {
			return r.fail("expected : after the field's name %q", f.name)
		}
		r.name = f.name
		if err := r.value(f.to); err != nil {
			return err
		}
	}
	return nil
}

func find(fields []field, name []byte) *field {
	for i := range fields {
		if fields[i].name == string(name) {
			return &fields[i]
		}
	}
	return nil
}

// names lists the names of fields, for people.
func names(fields []field) string {
	var list []string
	for i := range fields {
		list = append(list, fields[i].name)
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return list[0]
}

// value reads the value of a field.
func (r *reader) value(to any) error {
	switch to := to.(type) {
	case *string:
		return r.text(to)
	case **string:
		*to = new(string)
		return r.text(*to)
	case **int64:
		return r.integer(to)
	case *[]CheckItem:
		return readList(r, to)
	case *[]CommitItem:
		return readList(r, to)
	case *[]ReleaseItem:
		return readList(r, to)
	}
	panic(fmt.Sprintf("no value is read into a %T", to))
}

// readList reads an array of at most MaxBatch objects.
func readList[T any, P object[T]](r *reader, to *[]T) error {
	if r.peek() != '[' {
		return r.fail("%s must be an array, not %s", r.path(), r.kind())
	}
	r.skip('[')
	r.list = r.name
	item, items := new(T), []T{}
	fields := P(item).fields(nil)
	for r.index = 0; !r.skip(']'); r.index++ {
		if r.index > 0 && !r.skip(',') {
			return r.fail("expected , or ] after an element of %s", r.list)
		}
		if r.index == MaxBatch {
			return InvalidField.Problem(fmt.Sprintf(
				"%s can have at most %d elements; send the others in another request.",
				r.list, MaxBatch))
		}
		if r.peek() != '{' {
			return r.fail("%s[%d] must be an object, not %s", r.list, r.index, r.kind())
		}
		*item = *new(T)
		if err := r.object(fields); err != nil {
			return err
		}
		items = append(items, *item)
	}
	r.index = -1
	*to = items
	return nil
}

// fail returns an error at this position.
func (r *reader) fail(format string, args ...any) error {
	return &SyntaxError{Offset: r.at, Message: fmt.Sprintf(format, args...)}
}

// noObject is the error for a body that does not begin with an object. Some programs write a byte
// order mark or UTF-16 without being asked to.
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

// path names the field whose value comes next, such as cost or checks[7].cost.
func (r *reader) path() string {
	if r.index < 0 {
		return r.name
	}
	return fmt.Sprintf("%s[%d].%s", r.list, r.index, r.name)
}

// peek skips white space and returns the byte after it, or 0 at the end of the body.
func (r *reader) peek() byte {
	for ; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip skips white space, and the byte after it if that is c. It reports whether it was.
func (r *reader) skip(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// str reads a string, or fails with what was expected. The bytes may be part of the body.
func (r *reader) str(what string) ([]byte, error) {
	if r.peek() != '"' {
		return nil, r.fail("expected %s", what)
	}
	start := r.at
	ascii, escaped := true, false
	for r.at++; r.at < len(r.body); r.at++ {
		c := r.body[r.at]
		switch {
		case c == '"':
			r.at++
			if ascii && !escaped {
				return r.body[start+1 : r.at-1], nil
			}
			return r.unquote(r.body[start:r.at])
		case c == '\\':
			escaped = true
			r.at++ // the byte after it does not close the string
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

// text reads a string value.
func (r *reader) text(to *string) error {
	if r.peek() != '"' {
		return r.fail("%s must be a string, not %s", r.path(), r.kind())
	}
	s, err := r.str("")
	*to = string(s)
	return err
}

// kind names the type of the value that comes next.
func (r *reader) kind() string {
	switch r.peek() {
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
