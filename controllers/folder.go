package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/manifest"
)

// PollInterval is how often a folder is read. A change is taken up when two readings in a row agree on it, so that a
// file that an editor has emptied and is about to write never counts as a file without accounts.
const PollInterval = 250 * time.Millisecond

// folderUID is the uid of all accounts from a folder: there, an account lives as long as its name is in a file.
const folderUID = "folder"

// Folder makes the limiter enforce the MailAccounts in the *.yaml, *.yml and *.json files of a folder, not of its
// subfolders. It is polled rather than watched: that works for every file system, and for a mounted ConfigMap, whose
// files are swapped behind a symbolic link.
type Folder struct {
	path    string
	limiter *limiter.Limiter
	log     logr.Logger

	seen  map[string][]byte // what the last reading found
	files map[string]file   // what is in force; nil before the first time
}

// file is what is in force of one file.
type file struct {
	content  []byte
	accounts []v1alpha1.MailAccount // of the last content that was right
	read     bool                   // some content was right
}

// NewFolder returns a Folder for a path, or an error if it cannot be read.
func NewFolder(path string, l *limiter.Limiter, log logr.Logger) (*Folder, error) {
	f := &Folder{path: path, limiter: l, log: log}
	var err error
	if f.seen, err = f.readFiles(); err != nil {
		return nil, fmt.Errorf("the folder of accounts cannot be read: %w", err)
	}
	return f, nil
}

// Start loads the folder and follows its changes until the context ends.
func (f *Folder) Start(ctx context.Context) error {
	f.apply(f.seen)
	tick := time.NewTicker(PollInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		contents, err := f.readFiles()
		if err != nil {
			if !failing {
				f.log.Error(err, "the folder of accounts cannot be read; its accounts stay in force")
			}
			failing = true
			continue
		}
		failing = false
		if maps.EqualFunc(contents, f.seen, bytes.Equal) {
			f.apply(contents)
		}
		f.seen = contents
	}
}

func (f *Folder) readFiles() (map[string][]byte, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{}
	for _, entry := range entries {
		switch filepath.Ext(entry.Name()) {
		case ".yaml", ".yml", ".json":
		default:
			continue
		}
		name := filepath.Join(f.path, entry.Name())
		if info, err := os.Stat(name); err != nil || info.IsDir() || entry.Name()[0] == '.' {
			continue // a link to nowhere, a folder, an editor's swap file
		}
		if contents[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// apply takes up what has changed since it was last called.
func (f *Folder) apply(contents map[string][]byte) {
	changed := f.files == nil // an empty folder is loaded, too
	if changed {
		f.files = map[string]file{}
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		if old, known := f.files[name]; !known || !bytes.Equal(old.content, contents[name]) {
			f.files[name] = f.parse(name, old, contents[name])
			changed = true
		}
	}
	for name := range f.files {
		if _, ok := contents[name]; !ok {
			delete(f.files, name)
			changed = true
		}
	}
	if changed {
		f.enforce()
	}
}

// parse reads a file's new content. If it is broken, the accounts that the file held before stay.
func (f *Folder) parse(name string, old file, content []byte) file {
	parsed, err := manifest.Parse(name, content)
	if err != nil {
		inForce := "its accounts stay as they were"
		if !old.read {
			inForce = "checks are answered with 503 until it is put right"
		}
		f.log.Error(err, "broken file; "+inForce)
		return file{content: content, accounts: old.accounts, read: old.read}
	}
	return file{content: content, accounts: parsed.Accounts, read: true}
}

// enforce brings the limiter to what the files say. It opens once each file has been right.
func (f *Folder) enforce() {
	source := map[limiter.Key]string{}
	changed, complete := 0, true
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		complete = complete && f.files[name].read
		for i := range f.files[name].accounts {
			account := &f.files[name].accounts[i]
			key := limiter.Key{Namespace: account.Namespace, Name: account.Name}
			if first, taken := source[key]; taken {
				f.log.Error(nil, "account is declared twice; the first one holds", "account", key, "first", first, "second", name)
				continue
			}
			source[key] = name
			if f.limiter.Apply(key, folderUID, policyOf(&account.Spec)) {
				changed++
			}
		}
	}
	purged := f.limiter.Retain(func(k limiter.Key) bool { _, ok := source[k]; return ok })
	f.log.Info("accounts in force", "accounts", len(source), "changed", changed, "removed", purged)
	if complete {
		f.limiter.MarkLoaded()
	}
}
