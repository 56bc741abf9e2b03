//go:build !linux

package controllers

import (
	"io/fs"
	"os"
)

func stampOf(info os.FileInfo) stamp {
	return stamp{kind: info.Mode() & fs.ModeType, size: info.Size(), modified: info.ModTime()}
}
