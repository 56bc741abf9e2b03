package controllers

import (
	"io/fs"
	"os"
	"syscall"
)

func stampOf(info os.FileInfo) stamp {
	s := stamp{kind: info.Mode() & fs.ModeType, size: info.Size(), modified: info.ModTime()}
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		s.changed, s.inode = system.Ctim.Nano(), system.Ino
		s.device = uint64(system.Dev) //nolint:unconvert // its type depends on the processor
	}
	return s
}
