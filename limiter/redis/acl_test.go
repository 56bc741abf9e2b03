package redis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

const (
	users         = "../../examples/redis/users.acl"
	sentinelUsers = "../../examples/redis/sentinel-users.acl"
	userPassword  = "change-me-too" // of the user sluice in both
)

// TestLeastRights: the user of the example may do all that Sluice does, and nothing else.
func TestLeastRights(t *testing.T) {
	s, err := startServer("--aclfile", withDefaultUser(t, users))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	as := asUser(t, "redis://sluice@"+s.address())
	callAll(t, as)
	wantNothingRefused(t, s)
	wantRefused(t, as, "FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "SCRIPT FLUSH",
		"CLIENT KILL TYPE normal", "PUBLISH channel message", "REPLICAOF NO ONE", "SHUTDOWN",
		"GET other", "EVAL return 1 1 other")
}

// TestLeastRightsKeepEverything: a server with these users is killed, and reads all that it wrote.
// It replays what scripts wrote with the rights of its default user.
func TestLeastRightsKeepEverything(t *testing.T) {
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	s := redistest.New(t, redistest.Options{
		AOF: "always", ACL: strings.Split(strings.TrimSpace(string(text)), "\n"),
	})
	t.Run("write", func(t *testing.T) { // no replica is left that could tell it anew
		l := limiterOn(t, asUser(t, "redis://sluice@"+s.Address()))
		check(t, l, "a")
		check(t, l, "b")
		if _, err := l.Commit(ctx, far, account, "a", 0); err != nil {
			t.Error("commit:", err)
		}
	})
	s.Kill(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, limiterOn(t, asUser(t, "redis://sluice@"+s.Address())), 1, 1)
}

// TestLeastRightsOfSentinels: those of the Sentinels' own user.
func TestLeastRightsOfSentinels(t *testing.T) {
	primary, err := startServer("--aclfile", withDefaultUser(t, users))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(primary.stop)
	sentinel := startSentinel(t, primary, withDefaultUser(t, sentinelUsers))
	callAll(t, asUser(t, "redis://sluice@"+sentinel.address()+"?master_set=mymaster"))
	wantNothingRefused(t, primary)
	wantNothingRefused(t, sentinel)
	wantRefused(t, asUser(t, "redis://sluice@"+sentinel.address()),
		"SENTINEL FAILOVER mymaster", "SENTINEL REMOVE mymaster",
		"SENTINEL SET mymaster quorum 2", "SENTINEL MASTERS", "SHUTDOWN")
}

// TestRightsOfTheCode: the user may call what the scripts and the code do, also in turns that the
// tests above do not take.
func TestRightsOfTheCode(t *testing.T) {
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	// What Redis before 7.2 does not know is said beside the file.
	rights := append(strings.Fields(string(text)), "+waitaof")
	sources, err := filepath.Glob("lua/*.lua")
	if err != nil || len(sources) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	code, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`call\(['"](\w+)['"]|\.B\(\)\.(\w+)\(`)
	container := regexp.MustCompile(`^(client|cluster)(\w+)$`)
	found := 0
	for _, file := range append(sources, code...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls.FindAllStringSubmatch(string(source), -1) {
			command := strings.ToLower(call[1] + call[2])
			right := "+" + container.ReplaceAllString(command, "$1|$2")
			if found++; !slices.Contains(rights, right) {
				t.Errorf("%s calls %s, but %s has no %s", file, command, users, right)
			}
		}
	}
	if found < 30 {
		t.Errorf("found only %d commands in the sources", found)
	}
}

// withDefaultUser is a copy of an ACL file in which the default user may do everything, too: the
// tests look in by it.
func withDefaultUser(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, others, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(first, "user default off") {
		t.Errorf("%s leaves the default user on, who needs no password", file)
	}
	to := filepath.Join(t.TempDir(), "users.acl")
	with := "user default on nopass ~* &* +@all\n" + others
	if err := os.WriteFile(to, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// asUser is how the chart connects: the name in the URL, the password in a file.
func asUser(t *testing.T, url string) redis.Connection {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(userPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	return redis.Connection{URL: url, PasswordFile: file}
}

// callAll makes each call once.
func callAll(t *testing.T, as redis.Connection) {
	t.Helper()
	l := limiterOn(t, as)
	for _, id := range []string{"a", "b", "c", "d"} {
		check(t, l, id)
	}
	if _, err := l.Commit(ctx, far, account, "a", 0); err != nil {
		t.Error("commit:", err)
	}
	if _, err := l.Commit(ctx, far, account, "", 1); err != nil {
		t.Error("commit of the oldest:", err)
	}
	if _, err := l.Release(ctx, far, account, "c"); err != nil {
		t.Error("release:", err)
	}
	wantUsed(t, l, 2, 1)
	for i := range 7 { // the last is one too many
		check(t, l, fmt.Sprint("more", i))
	}
	limitertest.Purge(t, l, account)
}

// wantNothingRefused wants the log of refusals to be empty. The client's name of itself is an
// exception: it is told to Redis 7.2 and newer, and nobody needs it.
func wantNothingRefused(t *testing.T, s *server) {
	t.Helper()
	entries, err := s.say(t, "ACL", "LOG").ToArray()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		refused, err := entry.AsStrMap()
		if err != nil {
			refused = map[string]string{"object": fmt.Sprint(entry)}
		}
		if refused["object"] != "client|setinfo" {
			t.Errorf("refused: %v", refused)
		}
	}
}

func connectAs(t *testing.T, as redis.Connection) valkey.Client {
	t.Helper()
	c, err := redis.Connect(as)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantRefused(t *testing.T, as redis.Connection, commands ...string) {
	t.Helper()
	c := connectAs(t, as)
	for _, command := range commands {
		words := strings.Fields(command)
		if strings.HasPrefix(command, "EVAL return 1 ") {
			words = append([]string{"EVAL", "return 1"}, words[3:]...)
		}
		err := c.Do(ctx, c.B().Arbitrary(words...).Build()).Error()
		if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%s: %v, want it refused", command, err)
		}
	}
}

// startSentinel starts a Sentinel that watches a server by its default user.
func startSentinel(t *testing.T, primary *server, acl string) *server {
	t.Helper()
	s, err := startServer() // for its port
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.dir = t.TempDir()
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf(
		"port %d\nbind 127.0.0.1\ndir %s\naclfile %s\nsentinel monitor mymaster 127.0.0.1 %d 1\n",
		s.port, s.dir, acl, primary.port,
	)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.arguments = []string{conf, "--sentinel", "--logfile", filepath.Join(s.dir, "log")}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}
