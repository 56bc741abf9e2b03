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
