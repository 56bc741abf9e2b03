package httpv1

import "strings"

// ValidID reports whether a text can be the id of a reservation: 1 to MaxIDLength visible ASCII
// characters. A Message-ID such as <4711@example.com> is valid.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	for i := range len(id) {
		if id[i] < '!' || id[i] > '~' {
			return false
		}
	}
	return true
}

// appendID appends an id that ValidID accepts, escaped for the inside of a JSON string.
func appendID(b []byte, id string) []byte {
	if strings.IndexByte(id, '"') < 0 && strings.IndexByte(id, '\\') < 0 {
		return append(b, id...)
	}
	for i := range len(id) {
		if id[i] == '"' || id[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, id[i])
	}
	return b
}
