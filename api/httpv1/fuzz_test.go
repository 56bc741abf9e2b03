package httpv1_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// FuzzDecodeBatch is FuzzDecode for batches: what is accepted is JSON that the standard decoder
// reads the same way. What is refused is a SyntaxError or a Problem.
func FuzzDecodeBatch(f *testing.F) {
	for _, seed := range []string{
		`{"checks":[]}`,
		`{"checks":[{"namespace":"a","name":"b","id":"c","cost":1,"ttlSeconds":2}]}`,
		`{"checks":[{},{"name":"a"} , {"cost":-1}]}`, `{"checks":[{}],"checks":[]}`,
		`{"checks":[[]]}`, `{"checks":[{},]}`,
		`{"checks":[{"cost":1.0},{"cost":12e-1},{"ttlSeconds":-0.5e1}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want httpv1.CheckBatchRequest
		if err := got.Decode(body); err != nil {
			syntax, problem := (*httpv1.SyntaxError)(nil), (*httpv1.Problem)(nil)
			if !errors.As(err, &syntax) && !errors.As(err, &problem) {
				t.Errorf("%q is refused by %#v", body, err)
			}
			return
		}
		var read struct{ Checks []numbers }
		if err := json.Unmarshal(body, &read); err != nil {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		want.Checks = []httpv1.CheckItem{}
		for _, item := range read.Checks {
			want.Checks = append(want.Checks,
				httpv1.CheckItem{Account: item.Account, CheckRequest: item.check(t)})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
	})
}

// numbers is a check as the standard decoder reads it, with the numbers as they were written: it
// takes no 1.0 for an integer.
type numbers struct {
	httpv1.Account
	ID               *string
	Cost, TTLSeconds *json.Number
}

func (n numbers) check(t *testing.T) httpv1.CheckRequest {
	t.Helper()
	return httpv1.CheckRequest{
		ID: n.ID, Cost: integer(t, n.Cost), TTLSeconds: integer(t, n.TTLSeconds),
	}
}

// integer computes what a number is that has no fraction, or fails the test. Beyond 64 bits it is
// the largest or smallest integer.
func integer(t *testing.T, n *json.Number) *int64 {
	t.Helper()
	if n == nil {
		return nil
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n.String()), "e")
	exact, ok := new(big.Rat).SetString(mantissa)
	if !ok {
		t.Fatalf("%s is not a number", n)
	}
	if exact.Sign() == 0 {
		return new(int64(0))
	}
	// math/big would compute a power that fills the memory.
	e, err := strconv.Atoi(exponent)
	if exponent != "" && (err != nil || e < -1000 || e > 1000) {
		t.Skip("a power that this reference does not compute")
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil)
	if factor := new(big.Rat).SetInt(power); e < 0 {
		exact.Quo(exact, factor)
	} else {
		exact.Mul(exact, factor)
	}
	i := exact.Num()
	switch {
	case !exact.IsInt():
		t.Fatalf("%s was taken for an integer", n)
	case i.IsInt64():
		return new(i.Int64())
	case i.Sign() < 0:
		return new(int64(math.MinInt64))
	}
	return new(int64(math.MaxInt64))
}
