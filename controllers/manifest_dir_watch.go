package controllers

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/go-logr/logr"
)

// watcher wakes the poll of a folder when something in it may have changed. It only makes the poll
// sooner: not every file system tells of changes, and none tells of those behind a link.
type watcher struct {
	path    string
	log     logr.Logger
	wake    chan struct{}
	folders chan os.FileInfo // which folder is at the path
}

func newWatcher(path string, log logr.Logger) *watcher {
	return &watcher{
		path: path, log: log,
		wake: make(chan struct{}, 1), folders: make(chan os.FileInfo, 1),
	}
}

// follow tells which folder is at the path now. A mount, or a change of a link, puts another there.
func (w *watcher) follow(folder os.FileInfo) {
	select {
	case w.folders <- folder:
	default: // run has not taken the one before; the next poll tells it again
	}
}

// run watches until the context ends. If the system has no events, it ends at once.
func (w *watcher) run(ctx context.Context) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Info("the system tells of no changes; the folder of accounts is only polled",
			"reason", err.Error())
		return
	}
	defer func() { _ = events.Close() }()
	var watched os.FileInfo // nil: none
	for {
		select {
		case <-ctx.Done():
			return
		case folder := <-w.folders:
			if watched != nil && os.SameFile(watched, folder) {
				continue
			}
			_ = events.Remove(w.path)
			watched = folder
			if events.Add(w.path) != nil {
				watched = nil
			}
			w.wakeUp() // for what changed before the watch began
		case event := <-events.Events:
			if event.Name == w.path && event.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
				watched = nil
			}
			if w.concerns(event.Name) {
				w.wakeUp()
			}
		case err := <-events.Errors: // some events may be lost, for instance if there are too many
			w.log.V(1).Info("events of the folder of accounts may be lost", "reason", err.Error())
			w.wakeUp()
		}
	}
}

func (w *watcher) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// concerns reports whether an event of this path may change a manifest: it is the folder, a file
// that is read, or the hidden folder that a mounted ConfigMap links to.
func (w *watcher) concerns(path string) bool {
	name := filepath.Base(path)
	return path == w.path || isManifest(name) || strings.HasPrefix(name, "..")
}
