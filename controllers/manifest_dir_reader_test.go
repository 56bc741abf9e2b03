package controllers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

func writeAccounts(tb testing.TB, dir string, n int) {
	tb.Helper()
	for i := range n {
		content := holding(fmt.Sprintf("a%d=%d", i, i+1)).content
		path := filepath.Join(dir, fmt.Sprintf("a%d.yaml", i))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// counting counts the files that are read.
type counting struct {
	fileSystem
	reads int
}

func (c *counting) read(path string) ([]byte, stamp, error) {
	c.reads++
	return c.fileSystem.read(path)
}

// TestOnlyChangedFilesAreRead, once the time is over in which an equal stamp tells nothing.
func TestOnlyChangedFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	writeAccounts(t, dir, 100)
	files := &counting{fileSystem: realFiles{}}
	r := newReader(dir, files)
	poll := func(want int) {
		t.Helper()
		if changes, err := r.poll(t.Context()); err != nil || len(changes) != want {
			t.Errorf("found %d changes, %v, want %d", len(changes), err, want)
		}
	}
	poll(100)
	for _, e := range r.entries {
		e.trusted = time.Time{} // as if it were long ago
	}
	poll(0)
	if files.reads != 200 {
		t.Errorf(
			"100 files are read %d times, want twice: again once their stamps are old enough",
			files.reads,
		)
	}
	files.reads = 0
	poll(0)
	if files.reads != 0 {
		t.Errorf("%d files are read, though none has changed", files.reads)
	}
	if err := os.WriteFile(filepath.Join(dir, "a7.yaml"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(1)
	if files.reads != 1 {
		t.Errorf("%d files are read, though one has changed", files.reads)
	}
}

// TestWatchingAnotherDir: where a folder is replaced, the new one is watched, as soon as a poll
// has told of it.
func TestWatchingAnotherDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "accounts")
	w := newWatcher(dir, logr.Discard())
	go w.run(t.Context())
	for round := range 3 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		woken := false
		for deadline := time.Now().Add(30 * time.Second); !woken && time.Now().Before(deadline); {
			w.follow(info) // each poll does
			quiet(w.wake)
			writeAccounts(t, dir, 1)
			select {
			case <-w.wake:
				woken = true
			case <-time.After(100 * time.Millisecond):
			}
		}
		if !woken {
			t.Fatalf("folder %d is not watched", round)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// quiet returns when nothing has woken for a moment.
func quiet(wake <-chan struct{}) {
	for {
		select {
		case <-wake:
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

func TestWhatWakes(t *testing.T) {
	w := newWatcher("/accounts", logr.Discard())
	for path, want := range map[string]bool{
		"/accounts":             true,
		"/accounts/a.yaml":      true,
		"/accounts/a.yml":       true,
		"/accounts/a.json":      true,
		"/accounts/..data":      true,
		"/accounts/.a.yaml.swp": false,
		"/accounts/.a.yaml":     false,
		"/accounts/a.log":       false,
		"/accounts/yaml":        false,
	} {
		if got := w.concerns(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// BenchmarkIdlePoll is one poll of 10,000 files of which none has changed. The time between two
// polls is at least 100 times as long.
func BenchmarkIdlePoll(b *testing.B) {
	dir := b.TempDir()
	writeAccounts(b, dir, 10_000)
	r := newReader(dir, realFiles{})
	if _, err := r.poll(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, e := range r.entries {
		e.checked = true
	}
	b.ReportAllocs()
	for b.Loop() {
		if changes, err := r.poll(b.Context()); err != nil || len(changes) != 0 {
			b.Fatalf("%d changes, %v", len(changes), err)
		}
	}
}

// BenchmarkEdit is what an edit of one file of 10,000 costs beyond the poll that finds it: the
// decision, and the limiter.
func BenchmarkEdit(b *testing.B) {
	dir := b.TempDir()
	writeAccounts(b, dir, 10_000)
	f, err := newManifestDir(
		b.Context(), dir, limiter.New(memory.New(memory.Options{})), logr.Discard(), realFiles{},
	)
	if err != nil {
		b.Fatal(err)
	}
	f.advance(b.Context(), f.first, time.Now(), 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.advance(b.Context(),
			files{filepath.Join(dir, "a7.yaml"): holding(fmt.Sprintf("a7=%d", i%100+1))},
			time.Now(), 0,
		)
	}
}

// BenchmarkLoad is the decision about 10,000 files at the start.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	writeAccounts(b, dir, 10_000)
	f, err := newManifestDir(
		b.Context(), dir, limiter.New(memory.New(memory.Options{})), logr.Discard(), realFiles{},
	)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f.state = newDirState()
		f.advance(b.Context(), f.first, time.Now(), 0)
	}
}
