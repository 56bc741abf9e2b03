package redis

import (
	"testing"
	"time"
)

// TestAClockThatStoodStill has the monotonic clock of one replica stand still for 5 s, as when its
// machine is paused, while another's goes on: the first must notice, and no pod that starts may
// believe it.
func TestAClockThatStoodStill(t *testing.T) {
	const pause = 5 * time.Second
	server := func(at time.Duration) int64 { return int64(1e18) + int64(at) }
	var paused, healthy clock
	said := paused.follow(server(0), 0, 0, 0)
	said = healthy.follow(server(0), said, 0, 0)
	for at := 10 * time.Second; at < time.Minute; at += time.Second {
		said = paused.follow(server(at), said, at-pause, at-pause)
		said = healthy.follow(server(at), said, at, at)
		var fresh clock
		fresh.follow(server(at), said, at, at)
		if off := server(at) - fresh.base.Load() - int64(at); off != 0 {
			t.Fatalf("after %s, a pod that starts is %s behind", at, time.Duration(off))
		}
	}
	at := time.Minute
	if off := server(at) - paused.base.Load() - int64(at-pause); off != 0 || paused.jumped.Load() {
		t.Errorf("it is %s behind", time.Duration(off))
	}
}

// TestAServersClockThatJumps has the clock of the server jump under two replicas, and back.
func TestAServersClockThatJumps(t *testing.T) {
	var replicas [2]clock
	var said, jump int64
	for at := time.Duration(0); at < time.Minute; at += time.Second {
		jump = 0
		if at >= 10*time.Second && at < 40*time.Second {
			jump = int64(time.Hour)
		}
		for i := range replicas {
			said = replicas[i].follow(int64(1e18)+int64(at)+jump, said, at, at)
			if off := replicas[i].base.Load() - int64(1e18); off != 0 {
				t.Fatalf("after %s, a replica is off by %s", at, time.Duration(off))
			}
		}
		if said != jump {
			t.Fatalf("after %s, the store says %s", at, time.Duration(said))
		}
	}
}
