package httpv1

import (
	"strings"
	"unicode/utf8"
)

// MaxExcerpt is how many characters of a request's own text an answer repeats.
const MaxExcerpt = 100

// Excerpt returns the first MaxExcerpt characters of a text, as valid UTF-8, with … behind them if
// there were more. A small request must not become a large answer, nor a large line in a log.
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
