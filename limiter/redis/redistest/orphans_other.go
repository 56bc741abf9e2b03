//go:build !linux

package redistest

import "syscall"

// endsWithParent does nothing here: a process outlives the one of the tests where that is killed.
func endsWithParent() *syscall.SysProcAttr { return nil }
