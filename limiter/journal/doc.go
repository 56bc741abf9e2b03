// Package journal is a [limiter.Store] that forgets nothing: the store in memory, made durable.
// What calls change is written to a log before they are answered, as far as losing it could make
// Sluice count less. A start reads it back. docs/journal-format.md draws what is on the disk, and
// tells what a recovery does in each state that a crash can leave.
//
// The files, from a call to the disk:
//
//   - store.go: the Store, and its accounts.
//   - account.go: an account; which answers wait for the disk.
//   - batch.go: many calls, and one wait.
//   - log.go: the write-ahead log: all that came during one write is written with the next.
//   - frame.go: what such a write has in it.
//   - snapshot.go: all accounts at once, so that the log before it can be dropped.
//   - layout.go: the files and the keys.
//   - engine.go: Pebble, the database under it.
//   - disk.go: the file system under that, which waits when the disk is full.
//   - witness.go: how far the log was once durable, told by another file.
//
// From the disk to a store:
//
//   - directory.go: the data directory: made, locked, and of which format.
//   - recover.go: opens a journal; close.go: closes it.
//   - load.go: reads the database into accounts.
//   - torn.go: the end of a log that a power cut tore.
//   - damage.go: what is told when something cannot be read, and what may be given up.
//   - clock.go, clock_linux.go, clock_other.go: how much time passed meanwhile.
//   - inspect.go: what a journal holds, for people.
//   - metrics.go: what is counted.
package journal
