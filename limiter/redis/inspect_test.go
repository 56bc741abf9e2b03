package redis_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestInspect asks a server that is empty, used, lost and set up wrong.
func TestInspect(t *testing.T) {
	s := bareServer(t)
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	node := redis.Node{Address: s.address(), Role: "master"}
	want := func(when string, want redis.Report, wait redis.Wait) {
		t.Helper()
		got, err := redis.Inspect(ctx, c, "sl", wait)
		if err != nil || len(got.Nodes) != 1 {
			t.Fatalf("%s: %+v, %v", when, got, err)
		}
		version := regexp.MustCompile(`^(Redis|Valkey) [0-9]+\.[0-9]+\.[0-9]+$`)
		if v := got.Nodes[0].Version; !version.MatchString(v) {
			t.Errorf("%s: the version is %q", when, v)
		}
		got.Nodes[0].Version = ""
		want.Nodes = []redis.Node{node}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
	}
	want("empty", redis.Report{}, redis.Wait{})
	k := &keeper{}
	e := redis.NewEpochs("sl", k)
	settle := func() error { return e.Settle(ctx, c) }
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	lost := k.has()
	want("used", redis.Report{Epoch: lost}, redis.Wait{})
	s.say(t, "FLUSHALL")
	if err := settle(); err == nil {
		t.Fatal("the loss is not noticed")
	}
	want("lost", redis.Report{Missed: []string{lost}}, redis.Wait{})
	if err := redis.AcceptLoss(ctx, c, "sl", lost); err != nil {
		t.Fatal(err)
	}
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	s.say(t, "CONFIG", "SET", "appendonly", "yes", "maxmemory", "100mb",
		"maxmemory-policy", "allkeys-lru")
	node.AOF = true
	node.Problem = "maxmemory-policy is allkeys-lru, so that the server would forget what was sent " +
		"when its memory is full: set maxmemory-policy to noeviction"
	want("wrong", redis.Report{Epoch: k.has()}, redis.Wait{})
}
