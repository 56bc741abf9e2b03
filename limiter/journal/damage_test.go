package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// smallJournal makes a journal of a few accounts, with a snapshot and a log after it.
func smallJournal(t *testing.T) *medium {
	t.Helper()
	m := newMedium(Options{}, 100)
	s, ok := m.Open(t).(*Store)
	if !ok {
		t.Fatal("that is no journal")
	}
	use := func(round int) {
		l := limiter.New(s)
		for i := range 3 {
			k := limiter.Key{Namespace: "n", Name: fmt.Sprint(i)}
			limitertest.Apply(t, l, k, "uid", limiter.Policy{})
		}
		l.MarkLoaded()
		for i := range 9 {
			k := limiter.Key{Namespace: "n", Name: fmt.Sprint(i % 3)}
			id := fmt.Sprint(round, "-", i)
			now := at(time.Duration(round) * time.Second)
			if _, err := l.Check(context.Background(), now, k, ask(id)); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if _, err := l.Commit(context.Background(), now, k, id, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	use(0)
	if err := s.snapshot(); err != nil {
		t.Fatal(err)
	}
	m.Kill(t, 0, func(func() bool) {})
	s, _ = m.Open(t).(*Store)
	use(1)
	if err := s.log.sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return m
}

// state is all that the accounts of a journal hold.
func state(s *Store) string {
	var b bytes.Buffer
	var i memory.Image
	for n := range 3 {
		k := limiter.Key{Namespace: "n", Name: fmt.Sprint(n)}
		if a := s.recovered[k]; a != nil {
			a.Copy(&i, func() {})
			fmt.Fprintf(&b, "%s %x\n", k.Name, i.AppendTo(nil))
		}
	}
	return b.String()
}

// tree returns the files below a directory, without those that are empty.
func tree(t *testing.T, fs vfs.FS, dir string) (files map[string][]byte) {
	t.Helper()
	files = map[string][]byte{}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = path.Join(dir, name)
		info, err := fs.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			maps.Copy(files, tree(t, fs, name))
			continue
		}
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	return files
}

// damage is one thing that happened to a file.
type damage struct {
	file string
	what string
	text []byte // that is there now; nil if the file is gone
}

// TestDamage loses each file of a small journal, cuts each off at each byte, and flips a bit of
// each byte (with -journal.long each bit). The journal then is what it was, or says that it is
// damaged.
func TestDamage(t *testing.T) {
	for _, end := range []string{"closed", "killed"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			m := smallJournal(t)
			if end == "closed" {
				m.close()
			}
			fs := crash(m.fs, 100, m.random)
			want := readState(t, crash(fs, 100, m.random)) // it writes
			if len(want.state) == 0 || want.err != nil {
				t.Fatal(want)
			}
			todo := make(chan damage)
			var wg sync.WaitGroup
			var refused, read atomic.Int64
			for range 4 {
				wg.Go(func() {
					for d := range todo {
						switch got := readState(t, d.apply(t, fs)); {
						case got.err != nil:
							if refused.Add(1)%7 == 0 {
								d.accept(t, fs, got.err)
							}
						case got.state != want.state:
							t.Errorf("%s %s: it holds\n%s, not\n%s", d.file, d.what, got.state, want.state)
						default:
							read.Add(1)
						}
					}
				})
			}
			bytes := damages(tree(t, fs, "parent"), todo)
			close(todo)
			wg.Wait()
			t.Logf("%d bytes; %d times refused, %d times read", bytes, refused.Load(), read.Load())
			if refused.Load() < 100 || read.Load() < 100 {
				t.Error("that is no test")
			}
		})
	}
}

// damages sends what can happen to files.
func damages(files map[string][]byte, to chan<- damage) (bytes int) {
	for name, text := range files {
		bytes += len(text)
		to <- damage{name, "is gone", nil}
		for n := 0; n < len(text); n += stride(9) {
			to <- damage{name, fmt.Sprintf("is cut off at byte %d", n), text[:n:n]}
			for i := 0; i < 8; i += stride(8) {
				bit := (n + i) % 8
				flipped := append([]byte{}, text...)
				flipped[n] ^= 1 << bit
				to <- damage{name, fmt.Sprintf("has bit %d of byte %d flipped", bit, n), flipped}
			}
		}
	}
	return bytes
}

// apply returns a disk like another one that was damaged.
func (d damage) apply(t *testing.T, fs *vfs.MemFS) *vfs.MemFS {
	fs = crash(fs, 100, newMedium(Options{}, 100).random)
	d.on(t, fs)
	return fs
}

// on does the damage to a disk.
func (d damage) on(t *testing.T, fs *vfs.MemFS) {
	if err := fs.Remove(d.file); err != nil {
		t.Error(err)
	}
	if d.text == nil {
		return
	}
	f, err := fs.Create(d.file, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Error(err)
		return
	}
	_, err = f.Write(slices.Clone(d.text)) // built with the race detector, the disk overwrites it
	if err := errors.Join(err, f.Close()); err != nil {
		t.Error(err)
	}
}

// accept wants a start that is allowed to lose what a refusal was about to go well, and to keep all
// other accounts.
func (d damage) accept(t *testing.T, fs *vfs.MemFS, refusal error) {
	damage := (*Damage)(nil)
	if !errors.As(refusal, &damage) {
		if path.Base(d.file) != formatFile {
			t.Errorf("%s %s: that is not called damage: %v", d.file, d.what, refusal)
		}
		return
	}
	loss := AcceptLoss{All: len(damage.Accounts) == 0, Accounts: map[limiter.Key]bool{}}
	for _, k := range damage.Accounts {
		loss.Accounts[k] = true
	}
	before := crash(fs, 100, newMedium(Options{}, 100).random)
	fs = d.apply(t, fs)
	s := New(Options{Dir: "parent/data", fs: fs, AcceptLoss: loss})
	if _, err := s.Recover(context.Background()); err != nil {
		t.Errorf("%s %s: it does not start after all: %v", d.file, d.what, err)
		return
	}
	kept := state(s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if again := readState(t, fs); again.err != nil || again.state != kept {
		t.Errorf("%s %s: the next start: %v", d.file, d.what, again)
	}
	if loss.All {
		return
	}
	all := New(Options{Dir: "parent/data", fs: before})
	if _, err := all.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(state(all)) {
		name, _, _ := strings.Cut(line, " ")
		lost := loss.Accounts[limiter.Key{Namespace: "n", Name: name}]
		if !lost && !strings.Contains(kept, line) {
			t.Errorf("%s %s: %s is lost, which %v does not name", d.file, d.what, name, refusal)
		}
	}
	_ = all.Close()
}

// found is what a start found.
type found struct {
	state string
	err   error
}

// readState starts twice on a disk, and returns what that found.
func readState(t *testing.T, fs vfs.FS) (all found) {
	for range 2 {
		s := New(Options{Dir: "parent/data", fs: fs})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := s.Recover(ctx)
		if err != nil {
			if ctx.Err() != nil {
				t.Errorf("a start hangs")
			}
			if all.state != "" {
				return found{all.state + " and then " + err.Error(), nil}
			}
			return found{"", err}
		}
		now := state(s)
		if all.state != "" && all.state != now {
			return found{all.state + " and then " + now, nil}
		}
		all.state = now
		if err := s.Close(); err != nil {
			return found{all.state, err}
		}
	}
	return all
}
