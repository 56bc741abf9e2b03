package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// redisServer is a redis-server of the test's own, which keeps a file of what it is told.
type redisServer struct {
	t       *testing.T
	address string
	args    []string
	process *os.Process
	ended   chan struct{}
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &redisServer{t: t, address: address, args: append([]string{
		"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", dir,
		"--logfile", filepath.Join(dir, "log"),
	}, args...)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	cmd := exec.Command("redis-server", s.args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("this test needs redis-server (apt-get install redis-server): %v", err)
	}
	ended := make(chan struct{})
	s.process, s.ended = cmd.Process, ended
	go func() { _ = cmd.Wait(); close(ended) }()
	for range 1000 {
		if out, err := s.say("PING"); err == nil && strings.Contains(out, "PONG") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("redis-server does not answer")
}

func (s *redisServer) kill() {
	_ = s.process.Kill()
	<-s.ended
}

// say sends a command of one line, and returns the first of the answer.
func (s *redisServer) say(line string) (string, error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

func (s *redisServer) must(line string) {
	s.t.Helper()
	if out, err := s.say(line); err != nil || strings.HasPrefix(out, "-") {
		s.t.Fatalf("%s: %s, %v", line, out, err)
	}
}

// replica starts the program with this store.
func (s *redisServer) replica(folder string) *program {
	s.t.Helper()
	return start(s.t, "serve", "--accounts", folder, "--redis-url", "redis://"+s.address,
		"--redis-timeout", "2s")
}

// redis runs a command about the store, which a pod finds in its environment.
func (s *redisServer) redis(args ...string) (string, error) {
	s.t.Helper()
	environment := []string{"SLUICE_REDIS_URL=redis://" + s.address, "SLUICE_REDIS_TIMEOUT=2s"}
	out, err := command(s.t, environment, append([]string{"redis"}, args...)...).CombinedOutput()
	return string(out), err
}

func (s *redisServer) wantRedis(want string, args ...string) {
	s.t.Helper()
	if out, err := s.redis(args...); err != nil || !strings.Contains(out, want) {
		s.t.Errorf("redis %q ended with %v and printed\n%s\nwant %s", args, err, out, want)
	}
}

// untilNotReady waits until /readyz says this, and wants /healthz to be well.
func (p *program) untilNotReady(because string) string {
	p.t.Helper()
	var body string
	p.until("not ready: "+because, func() bool {
		status, text := get("http://" + p.health + "/readyz")
		body = text
		return status == http.StatusServiceUnavailable && strings.Contains(text, because)
	})
	if status, text := get("http://" + p.health + "/healthz"); status != http.StatusOK {
		p.t.Errorf("/healthz answers %d %s", status, text)
	}
	return body
}

// wantRefused wants a check to be refused because of the store.
func (p *program) wantRefused() {
	p.t.Helper()
	resp, err := http.Post("http://"+p.api+"/v1/accounts/n/a/check", "application/json", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		p.t.Errorf("a check got %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestReplicasShareAStore has two replicas enforce one limit. One is killed, and another knows what
// it granted.
func TestReplicasShareAStore(t *testing.T) {
	s, folder := startRedis(t), accounts(t)
	first, second := s.replica(folder), s.replica(folder)
	first.untilReady()
	second.untilReady()
	wantDecision := func(p *program, id, want string) {
		t.Helper()
		answer := p.mustPost("/v1/accounts/n/a/check", `{"id":"`+id+`"}`)
		if !strings.Contains(answer, `"decision":"`+want+`"`) {
			t.Errorf("a check got %s, want %s", answer, want)
		}
	}
	wantDecision(first, "a", "Allow")
	wantDecision(second, "b", "Allow")
	wantDecision(first, "c", "Defer")
	wantDecision(second, "a", "Allow") // it is the same check
	second.mustPost("/v1/accounts/n/a/commit", `{"reservation":"a"}`)
	first.kill()
	third := s.replica(folder)
	third.untilReady()
	wantDecision(third, "d", "Defer")
	third.mustPost("/v1/accounts/n/a/release", `{"reservation":"b"}`)
	second.until("what one gives back is there for the other", func() bool {
		answer := second.mustPost("/v1/accounts/n/a/check", `{"id":"e"}`)
		return strings.Contains(answer, `"decision":"Allow"`)
	})
	second.stop()
	third.stop()
}

// TestReadinessFollowsTheStore takes the server away, and gives it back.
func TestReadinessFollowsTheStore(t *testing.T) {
	s := startRedis(t)
	s.kill()
	p := s.replica(accounts(t))
	p.untilNotReady("redis: ") // it waits for its server
	p.wantRefused()
	s.start()
	p.untilReady()
	p.mustPost("/v1/accounts/n/a/commit", `{"reservation":"sent"}`)
	s.kill()
	p.untilNotReady("redis: ")
	p.wantRefused()
	s.start()
	p.untilReady()
	if _, usage := get("http://" + p.api + "/v1/accounts/n/a"); !strings.Contains(usage,
		`"used":1,`) {
		t.Errorf("after a restart of the server the usage is %s", usage)
	}
	p.stop()
}

// TestAServerThatForgetsIsRefused names the setting.
func TestAServerThatForgetsIsRefused(t *testing.T) {
	s := startRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	p := s.replica(accounts(t))
	err := p.cmd.Wait()
	for _, want := range []string{
		"--redis-url leads to a server that Sluice cannot use", "set maxmemory-policy to noeviction",
	} {
		if err == nil || !strings.Contains(p.log.String(), want) {
			t.Errorf("it ended with %v and logged %s, want %s", err, p.log, want)
		}
	}
	s.wantRedis("set maxmemory-policy to noeviction", "status")
}

// TestALossIsAccepted empties the store, and goes on.
func TestALossIsAccepted(t *testing.T) {
	s := startRedis(t)
	p := s.replica(accounts(t))
	p.untilReady()
	p.mustPost("/v1/accounts/n/a/commit", `{"reservation":"sent"}`)
	s.wantRedis("primary, 0 replicas, appendonly yes", "status")
	s.wantRedis(s.address+"  ", "status")
	s.must("FLUSHALL")
	because := p.untilNotReady("accept-loss")
	p.wantRefused()
	match := regexp.MustCompile("`sluice redis accept-loss ([0-9a-f]{32})`").
		FindStringSubmatch(because)
	if match == nil {
		t.Fatalf("it does not say what to do: %s", because)
	}
	epoch := match[1]
	s.wantRedis("lost "+strings.Repeat(" ", 5), "status")
	s.wantRedis(epoch+": bring it back, or run `sluice redis accept-loss "+epoch+"`", "status")
	out, err := s.redis("accept-loss", "another")
	if err == nil || !strings.Contains(out, "the epoch that was lost is "+epoch) {
		t.Errorf("the loss of another epoch: %v, %s", err, out)
	}
	p.untilNotReady("accept-loss")
	s.wantRedis("the loss of "+epoch+" is accepted", "accept-loss", epoch)
	p.until("it answers again", func() bool {
		status, _ := get("http://" + p.api + "/v1/accounts/n/a")
		return status == http.StatusOK
	})
	if out, err := s.redis("status"); err != nil || strings.Contains(out, epoch) {
		t.Errorf("afterwards the status is %s, %v", out, err)
	}
	p.stop()
}

// TestShutdownFinishesWhatIsInFlightInAStore stops the program between the two halves of a request:
// the store is there until it is answered.
func TestShutdownFinishesWhatIsInFlightInAStore(t *testing.T) {
	p := startRedis(t).replica(accounts(t))
	p.untilReady()
	commit := p.begin("commit")
	p.terminate()
	p.until("the listener is closed", func() bool {
		status, _ := get("http://" + p.api + "/openapi.yaml")
		return status == 0
	})
	if answer := commit.finish(); !strings.Contains(answer, `"outcome":"Unreserved"`) {
		t.Errorf("a commit in flight got %q", answer)
	}
	p.wait()
}

// TestAStoreInACluster has two replicas ready at a time, of which one is elected. Then both stop,
// the store is emptied, and a fresh pod notices it.
func TestAStoreInACluster(t *testing.T) {
	c := controlplane.Client(t)
	account := &v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shared"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerDay: new(int32(2))}},
	}
	if err := c.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "sluice-redis-epoch",
	}}
	t.Cleanup(func() {
		for _, object := range []client.Object{account, kept} {
			if err := c.Delete(context.Background(), object); err != nil {
				t.Error(err)
			}
		}
	})
	s := startRedis(t)
	t.Setenv("KUBECONFIG", startFreezer(t).kubeconfig)
	t.Setenv("POD_NAME", "sluice-7f6d8")
	t.Setenv("POD_UID", "uid-of-a-replica")
	args := []string{"serve", "--auth", "none", "--lease-namespace", "default",
		"--redis-url", "redis://" + s.address, "--redis-timeout", "2s"}
	first, second := start(t, args...), start(t, args...)
	for n, p := range []*program{first, second} {
		p.untilReady()
		p.mustPost("/v1/accounts/default/shared/check", fmt.Sprintf(`{"id":"%d"}`, n))
	}
	answer := first.mustPost("/v1/accounts/default/shared/check", "")
	if !strings.Contains(answer, `"decision":"Defer"`) {
		t.Errorf("a third check got %s", answer)
	}
	first.stop()
	second.stop()

	s.must("FLUSHALL")
	fresh := start(t, args...)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
		t.Fatal(err)
	}
	acceptLoss := "accept-loss " + kept.Data["epoch"]
	fresh.untilNotReady(acceptLoss)
	controlplane.Eventually(t, "the event", func() error {
		var list eventsv1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.UID == "uid-of-a-replica" && e.Type == "Warning" &&
				strings.Contains(e.Note, acceptLoss) {
				return nil
			}
		}
		return errors.New("there is none")
	})
	s.wantRedis("is accepted", "accept-loss", kept.Data["epoch"])
	fresh.untilReady()
	fresh.stop()
}

// TestAStoreThatHangs wants a stop to end all the same.
func TestAStoreThatHangs(t *testing.T) {
	s := startRedis(t)
	p := s.replica(accounts(t))
	p.untilReady()
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.untilNotReady("redis: ")
	p.stop()
}
