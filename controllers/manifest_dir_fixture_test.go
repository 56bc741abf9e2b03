package controllers_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// folder is a folder of manifests that a limiter follows, inside a synctest bubble: its polls cost
// no time.
type folder struct {
	t       *testing.T
	dir     string
	limiter *limiter.Limiter
	log     *lines
	written int
}

func inDir(t *testing.T, files map[string]string, test func(*folder)) {
	t.Helper()
	inFaultyDir(t, controllers.Faults{}, func(f *folder) {
		for name, content := range files {
			f.write(name, content)
		}
	}, test)
}

// inFaultyDir prepares a folder, follows it, and tests. Faults must be over when test returns.
func inFaultyDir(t *testing.T, faults controllers.Faults, prepare, test func(*folder)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &folder{
			t:       t,
			dir:     dir,
			limiter: limiter.New(memory.New(memory.Options{})),
			log:     &lines{},
		}
		prepare(f)
		source, err := controllers.NewPolledManifestDir(
			t.Context(), dir, f.limiter, f.log.logger(), faults,
		)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- source.Start(ctx) }()
		synctest.Wait()
		defer cancel()
		test(f)
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// write writes a file, each time with another time of modification: a bubble's hour may pass within
// the granule of the real clock in which two writes look the same.
func (f *folder) write(name, content string) {
	f.t.Helper()
	f.written++
	at := time.Unix(1_000_000+int64(f.written), 0)
	f.do(os.WriteFile(f.path(name), []byte(content), 0o600), os.Chtimes(f.path(name), at, at))
}

func (f *folder) do(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

// after lets time pass.
func (f *folder) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// settles lets so much time pass that a change is in force: a second.
func (f *folder) settles() { f.after(time.Second) }

// send commits a mail, and sent is how many the last minute holds.
func (f *folder) send(name string) {
	f.t.Helper()
	key := limiter.Key{Namespace: "n", Name: name}
	if _, err := f.limiter.Commit(f.t.Context(), limiter.Instant{}, key, "", 1); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) sent(name string) int64 {
	f.t.Helper()
	u, err := f.limiter.Usage(
		f.t.Context(),
		limiter.Instant{},
		limiter.Key{Namespace: "n", Name: name},
	)
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Window(limiter.Cost, limiter.Minute).Used
}

// limit is the per-minute limit in force, -1 for an account that is not there.
func (f *folder) limit(name string) int64 {
	u, err := f.limiter.Usage(
		f.t.Context(),
		limiter.Instant{},
		limiter.Key{Namespace: "n", Name: name},
	)
	if errors.Is(err, limiter.ErrAccountNotFound) {
		return -1
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Policy.Limits[limiter.Cost][limiter.Minute]
}

func (f *folder) want(what, name string, limit int64) {
	f.t.Helper()
	if got := f.limit(name); got != limit {
		f.t.Errorf("%s: the limit of %s is %d, want %d", what, name, got, limit)
	}
}

func manifest(name, limit string) string {
	return "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n" +
		"metadata: {name: " + name + ", namespace: \"n\"}\n" +
		"spec:\n  limits:\n    perMinute: " + limit + "\n"
}
