package httpv1

import (
	"strings"
	"unicode/utf8"
)

// MaxExcerpt is how many characters of a caller's text a response or a log line repeats.
const MaxExcerpt = 100

// Excerpt returns the first MaxExcerpt characters of a text, as valid UTF-8, and appends … if there
// were more. A small request must not make a large response, nor a large line in the log.
func Excerpt(s string) string {
	end, cut := len(s), false
	for at, n := 0, 0; at < len(s); n++ {
		if n == MaxExcerpt {
			end, cut = at, true
			break
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	s = strings.ToValidUTF8(s[:end], string(utf8.RuneError))
	if cut {
		s += "…"
	}
	return s
}

// maxWord is how many letters a word of a caller may have to be repeated to it.
const maxWord = 24

// Named returns a name that a caller made up, to be told what is wrong with it: in double quotes if
// it is a word, and otherwise without repeating it. What is no word may be a token, an id or a mail
// address in the wrong place, and problems end up in the logs of callers.
func Named(name string) string {
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && name[i] != '_' {
			return "of that name"
		}
	}
	if len(name) > maxWord {
		return "of that name"
	}
	return `"` + name + `"`
}
