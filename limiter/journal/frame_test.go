package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

var (
	someone = identity{limiter.Key{Namespace: "marketing", Name: "newsletter"}, "uid-1"}
	here    = machine{bootID: "boot-1", timeNamespace: "monotonic 0 0"}
	clocked = reading{mono: 7 << 40, wall: -3, boot: 5, synchronized: true}
)

// effects has one of each kind, with the largest numbers that there are.
var effects = []memory.Effect{
	{Kind: memory.Granted, At: 100, ID: memory.NewIDHash(1, ^uint64(0)), Cost: limiter.MaxCost,
		Deadline: 1 << 62},
	{Kind: memory.Committed, At: 90, ID: memory.NewIDHash(2, 3), Cost: 5, CostsMore: true},
	{Kind: memory.Committed, At: 101, ID: memory.NewIDHash(2, 3), Cost: 1},
	{Kind: memory.CommittedLate, At: 102, ID: memory.NewIDHash(4, 5), Cost: 2},
	{Kind: memory.CommittedUnreserved, At: 103, Anonymous: true, Cost: 3},
	{Kind: memory.CommittedUnreserved, At: 1 << 62, ID: memory.NewIDHash(6, 7), Cost: 4},
	{Kind: memory.Released, At: -5, ID: memory.NewIDHash(8, 9)},
	{Kind: memory.Merged, At: 105},
	{Kind: memory.Purged, At: 106},
}

// someFrame is a frame with a record of each kind.
func someFrame() []byte {
	g := group{base: 95}
	g.body = appendStart(g.body, here)
	g.body = appendAccount(g.body, 1<<40, someone)
	for i := range effects {
		g.body = appendEffect(g.body, g.base, uint64(i), &effects[i])
	}
	g.body = append(g.body, recordTick, recordStop)
	g.records = uint64(len(effects)) + 4
	return g.encode(nil, clocked)
}

// TestFrames wants what was written to be what is read.
func TestFrames(t *testing.T) {
	t.Parallel()
	f, err := readFrame(someFrame())
	if err != nil || f.reading != clocked {
		t.Fatalf("read %+v, %v", f.reading, err)
	}
	want := []record{
		{kind: recordStart, machine: here}, {kind: recordAccount, number: 1 << 40, who: someone},
	}
	for i, e := range effects {
		want = append(want, record{kind: byte(e.Kind), number: uint64(i), effect: e})
	}
	want = append(want, record{kind: recordTick}, record{kind: recordStop})
	for i := range f.records {
		got, err := f.next()
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if diff := cmp.Diff(want[i], got, cmp.AllowUnexported(
			record{}, identity{}, machine{}, memory.IDHash{},
		)); diff != "" {
			t.Errorf("record %d:\n%s", i, diff)
		}
	}
	if len(f.rest) > 0 {
		t.Errorf("%d bytes are left", len(f.rest))
	}
}

// FuzzFrame reads any bytes as a frame.
func FuzzFrame(f *testing.F) {
	f.Add(someFrame())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		f, err := readFrame(b)
		for n := uint64(0); err == nil && n < f.records; n++ {
			before := len(f.rest)
			if _, err = f.next(); err == nil && len(f.rest) >= before {
				t.Fatal("a record takes no bytes")
			}
		}
	})
}
