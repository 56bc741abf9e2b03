package httpv1_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// FuzzDecodeBatch is FuzzDecode for lists: whatever is accepted is JSON that the standard decoder reads the same way.
// What is refused is refused as wrong JSON or as a wrong value.
func FuzzDecodeBatch(f *testing.F) {
	for _, seed := range []string{
		`{"checks":[]}`, `{"checks":[{"namespace":"a","name":"b","id":"c","cost":1,"ttlSeconds":2}]}`,
		`{"checks":[{},{"name":"a"} , {"cost":-1}]}`, `{"checks":[{}],"checks":[]}`, `{"checks":[[]]}`, `{"checks":[{},]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want httpv1.CheckBatch
		if err := got.Decode(body); err != nil {
			syntax, problem := (*httpv1.SyntaxError)(nil), (*httpv1.Problem)(nil)
			if !errors.As(err, &syntax) && !errors.As(err, &problem) {
				t.Errorf("%q is refused by %#v", body, err)
			}
			return
		}
		for _, item := range got.Checks {
			if beyond(item.Cost) || beyond(item.TTLSeconds) {
				return // what the standard decoder takes
			}
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
	})
}

// beyond says whether a number may have been one that does not fit into 64 bits.
func beyond(n *int64) bool { return n != nil && (*n == math.MaxInt64 || *n == math.MinInt64) }
