package controllers

import (
	"io/fs"
	"os"
	"syscall"
)

func stampOf(info os.FileInfo) stamp {
	s := stamp{kind: info.Mode() & fs.ModeType, size: info.Size(), modified: info.ModTime()}
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changed = system.Ctim.Nano()
		s.device, s.inode = uint64(
			system.Dev,
		), system.Ino //nolint:unconvert // the type differs between processors
	}
	return s
}
