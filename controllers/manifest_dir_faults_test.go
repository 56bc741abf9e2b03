package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/controllers"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// Calls that fail, and calls that hang. A file whose calls hang is not followed, others are, and
// Start returns.
func TestManifestDirWithFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		hang  bool
		stats bool // the fault is that of stat, otherwise of read
	}{
		"stat fails": {
			false, true}, "read fails": {false, false}, "stat hangs": {true,
			true}, "read hangs": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			over := make(chan struct{})
			fault := func(path string) error {
				if filepath.Base(path) != "a.yaml" || !broken.Load() {
					return nil
				}
				if tc.hang {
					<-over
					return nil
				}
				return syscall.EIO
			}
			faults := controllers.Faults{Read: fault}
			if tc.stats {
				faults = controllers.Faults{Stat: fault}
			}
			inFaultyDir(t, faults, func(f *folder) {
				over = make(chan struct{}) // of this bubble
				f.write("a.yaml", manifest("a", "1"))
				f.write("b.yaml", manifest("b", "1"))
			}, func(f *folder) {
				f.send("a")
				broken.Store(true)
				f.write("a.yaml", manifest("a", "2")) // so that it must be read
				f.after(2 * time.Second)
				for limit := range int64(5) {
					f.write("b.yaml", manifest("b", strconv.FormatInt(limit+10, 10)))
					f.settles()
					f.want("in the other file", "b", limit+10)
				}
				f.after(time.Minute)
				f.want("in the file with the fault", "a", 1)
				if n := f.log.count("broken file; its accounts stay as they were"); n != 1 {
					t.Errorf("the log tells it %d times:\n%s", n, f.log.text.String())
				}
				broken.Store(false)
				close(over)
				f.after(2 * time.Second)
				f.want("when the fault is over", "a", 2)
				if f.sent("a") != 1 {
					t.Error("the history is lost")
				}
			})
		})
	}
}

func TestManifestDirStopsWhileCallsHang(t *testing.T) {
	for name, hangs := range map[string]func(call, base string) bool{
		"about one file": func(call, base string) bool {
			return call == "stat" && base == "a.yaml"
		},
		"about all files":    func(call, _ string) bool { return call == "read" },
		"about the folder":   func(call, _ string) bool { return call == "list" },
		"of every kind here": func(_, _ string) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				var dead atomic.Bool
				fault := func(call string) func(string) error {
					return func(path string) error {
						if dead.Load() && hangs(call, filepath.Base(path)) {
							<-over
						}
						return nil
					}
				}
				f := &folder{t: t, dir: dir, limiter: limiter.New(memory.New(memory.Options{})), log: &lines{}}
				for i := range 100 {
					f.write(fmt.Sprintf("f%d.yaml", i), manifest("f"+strconv.Itoa(i), "1"))
				}
				f.write("a.yaml", manifest("a", "1"))
				source, err := controllers.NewPolledManifestDir(
					t.Context(),
					dir,
					f.limiter,
					f.log.logger(),
					controllers.Faults{
						Stat: fault("stat"),
						Read: fault("read"),
						List: fault("list"),
					},
				)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				stopped := make(chan error, 1)
				go func() { stopped <- source.Start(ctx) }()
				f.after(time.Minute)
				dead.Store(true)
				for i := range 100 {
					f.write(fmt.Sprintf("f%d.yaml", i), manifest("f"+strconv.Itoa(i), "2"))
				}
				f.after(time.Minute)
				f.want("in a file that hung", "a", 1)
				began := time.Now()
				cancel()
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("it took %s to stop", took)
				}
			})
		})
	}
}

// A folder that hangs at the start is waited for, until the context ends.
func TestManifestDirThatHangsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		log := &lines{}
		_, err := controllers.NewPolledManifestDir(
			ctx, "/", limiter.New(memory.New(memory.Options{})), log.logger(),
			controllers.Faults{List: func(string) error { <-over; return nil }},
		)
		if !errors.Is(err, context.DeadlineExceeded) || log.count("does not answer") != 1 {
			t.Errorf("got %v, the log is %s", err, log.text.String())
		}
	})
}

// More files hang than there may be threads that wait for them: it neither opens nor forgets.
func TestManifestDirOfWhichEveryFileHangs(t *testing.T) {
	over := make(chan struct{})
	var dead atomic.Bool
	dead.Store(true)
	inFaultyDir(t, controllers.Faults{Stat: func(string) error {
		if dead.Load() {
			<-over
		}
		return nil
	}}, func(f *folder) {
		over = make(chan struct{})
		for i := range 1100 {
			f.write(fmt.Sprintf("f%d.yaml", i), manifest("f"+strconv.Itoa(i), "1"))
		}
	}, func(f *folder) {
		f.after(time.Minute)
		if f.limiter.Loaded() || !f.log.contains("1000 of its files do not answer") {
			t.Errorf("loaded is %v, the log is %s", f.limiter.Loaded(), f.log.text.String())
		}
		dead.Store(false)
		close(over)
		f.after(10 * time.Second)
		if !f.limiter.Loaded() {
			t.Error("it did not open once the files answered")
		}
		f.want("once the files answered", "f1099", 1)
	})
}
