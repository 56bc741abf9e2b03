package httpv1

import (
	"bytes"
	"math"
	"strconv"
)

// integer reads an integer as JSON Schema defines it: a number without a fraction, so that 1, 1.0
// and 1e0 are the same. What does not fit into 64 bits becomes the largest or the smallest int64,
// which is out of all bounds.
func (r *reader) integer(to **int64) error {
	c := r.peek()
	if c != '-' && (c < '0' || c > '9') {
		return r.fail("%s must be an integer, not %s", r.path(), r.kind())
	}
	start := r.at
	if c == '-' {
		r.at++
	}
	whole := r.digits()
	if len(whole) == 0 || whole[0] == '0' && len(whole) > 1 {
		return r.fail("%s is not a number that JSON knows", r.path())
	}
	n, err := strconv.ParseInt(string(r.body[start:r.at]), 10, 64)
	if err != nil {
		n = furthest(c == '-')
	}
	if r.at < len(r.body) && (r.body[r.at] == '.' || r.body[r.at]|0x20 == 'e') {
		if n, err = r.scientific(whole, c == '-'); err != nil {
			return err
		}
	}
	*to = &n
	return nil
}

// digits reads the decimal digits that come next.
func (r *reader) digits() []byte {
	start := r.at
	for r.at < len(r.body) && r.body[r.at] >= '0' && r.body[r.at] <= '9' {
		r.at++
	}
	return r.body[start:r.at]
}

// scientific reads the rest of a number after its whole part: a fraction, an exponent or both. The
// number must still be an integer.
func (r *reader) scientific(whole []byte, negative bool) (int64, error) {
	var fraction []byte
	exponent := 0
	if r.body[r.at] == '.' {
		r.at++
		if fraction = r.digits(); len(fraction) == 0 {
			return 0, r.fail("%s is not a number that JSON knows", r.path())
		}
	}
	if r.at < len(r.body) && r.body[r.at]|0x20 == 'e' {
		r.at++
		var ok bool
		if exponent, ok = r.exponent(); !ok {
			return 0, r.fail("%s is not a number that JSON knows", r.path())
		}
	}
	n, ok := shift(whole, fraction, exponent, negative)
	if !ok {
		return 0, r.fail("%s must be an integer, without a fraction", r.path())
	}
	return n, nil
}

// maxExponent stands for all larger exponents. No body has so many digits that it matters.
const maxExponent = 1 << 30

// exponent reads what follows the e of a number.
func (r *reader) exponent() (n int, ok bool) {
	negative := false
	if r.at < len(r.body) && (r.body[r.at] == '+' || r.body[r.at] == '-') {
		negative = r.body[r.at] == '-'
		r.at++
	}
	digits := r.digits()
	for _, d := range digits {
		n = min(10*n+int(d-'0'), maxExponent)
	}
	if negative {
		n = -n
	}
	return n, len(digits) > 0
}

// shift returns whole.fraction × 10^exponent, and reports whether that is an integer. Its time
// depends on the number of digits, not on the exponent.
func shift(whole, fraction []byte, exponent int, negative bool) (n int64, ok bool) {
	digits := bytes.TrimLeft(append(bytes.Clone(whole), fraction...), "0")
	significant := bytes.TrimRight(digits, "0")
	zeros := len(digits) - len(significant) + exponent - len(fraction)
	switch {
	case len(significant) == 0:
		return 0, true
	case zeros < 0:
		return 0, false
	case len(significant)+zeros > len("9223372036854775808"):
		return furthest(negative), true
	}
	text := append(bytes.Clone(significant), bytes.Repeat([]byte("0"), zeros)...)
	if negative {
		text = append([]byte("-"), text...)
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		n = furthest(negative)
	}
	return n, true
}

// furthest returns the int64 that stands for all integers beyond 64 bits.
func furthest(negative bool) int64 {
	if negative {
		return math.MinInt64
	}
	return math.MaxInt64
}
