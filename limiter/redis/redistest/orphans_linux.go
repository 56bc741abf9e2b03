package redistest

import "syscall"

// endsWithParent has a process end when the one of the tests does, however that ends.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
