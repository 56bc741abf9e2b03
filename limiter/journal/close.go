package journal

import (
	"errors"
	"time"
)

// closePatience is how long Close waits for a disk that does not answer.
const closePatience = 5 * time.Second

// abandon closes what Recover has opened.
func (s *Store) abandon(err error) error {
	s.cancel()
	close(s.closing)
	close(s.snapshotsEnded)
	close(s.log.ended)
	return errors.Join(err, s.release())
}

// Close writes what is left, and closes the journal. Calls that come later fail. It does nothing if
// Recover has not succeeded.
func (s *Store) Close() error {
	if !s.opened.Swap(false) {
		return nil
	}
	close(s.closing)
	g := s.log.begin(s.clock.Now().Mono)
	g.body = append(g.body, recordStop)
	s.log.end(g, 1)
	s.log.stop()
	ended := s.log.wait(closePatience)
	close(s.disk.closing) // from now on, nothing waits for room
	if !ended {
		ended = s.log.wait(time.Second)
	}
	s.cancel()
	// From here on, the database must not be touched unless the log has ended well.
	if err := s.Err(); err != nil {
		return err
	}
	if !ended {
		return errNoAnswer
	}
	released := make(chan error, 1)
	go func() {
		<-s.snapshotsEnded
		released <- s.release()
	}()
	select {
	case err := <-released:
		return err
	case <-s.log.failed: // whoever released it stays where it was; see databaseLog.Fatalf
		return s.Err()
	case <-time.After(closePatience):
		return errNoAnswer
	}
}

// errNoAnswer is returned by Close if the disk does not answer. What callers were told of is there.
var errNoAnswer = errors.New("the disk does not answer")

// release closes the files.
func (s *Store) release() (err error) {
	if s.db != nil {
		s.disk.ending.Store(true)
		err = s.db.Close()
	}
	if s.witness != nil {
		if err == nil && s.written.Load() > 0 {
			err = s.witness.set(s.written.Load())
		}
		err = errors.Join(err, s.witness.sync(), s.witness.close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
