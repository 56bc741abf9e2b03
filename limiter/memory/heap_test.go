package memory_test

import "runtime"

// heapOf is how many bytes of heap are live after build, beyond those before it.
func heapOf(build func() any) (bytes int64, kept any) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept = build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc), kept
}
