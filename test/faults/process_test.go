//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// namespace is that of all accounts here.
const namespace = "faults"

const (
	// inTime is how long a check may take while the disk does not answer.
	inTime = 2 * time.Second
	// patience is how long the tests wait for what must happen.
	patience = 30 * time.Second
)

// process is a Sluice. It can be started again after it has ended, at the same addresses.
type process struct {
	t        *testing.T
	accounts string // the folder of them
	data     string
	args     []string // more of them
	env      []string
	wrapper  []string // a command that runs the binary
	asUser   uint32
	api      string
	health   string
	client   *sluice.Client // sends every request once

	cmd     *exec.Cmd
	log     *testprocess.Log // of this start
	started time.Time        // when this start began
	ended   chan struct{}    // closed when it has ended
	err     error            // of its end
}

// newProcess makes one with accounts that is not started yet. It ends with the test.
func newProcess(t *testing.T, of map[string]int) *process {
	t.Helper()
	dir := tempDir(t)
	p := &process{
		t: t, accounts: filepath.Join(dir, "accounts"), data: filepath.Join(dir, "data"),
		api: freeAddress(t), health: freeAddress(t),
	}
	if err := os.Mkdir(p.accounts, 0o755); err != nil {
		t.Fatal(err)
	}
	p.declare(of)
	client, err := sluice.New("http://"+p.api, sluice.Options{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		Retry:     sluice.Retry{MaxAttempts: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.client = client
	t.Cleanup(p.kill)
	return p
}

// declare writes the accounts, each with a limit a minute, or none if that is 0.
func (p *process) declare(of map[string]int) {
	p.t.Helper()
	type object = map[string]any
	var list []object
	for name, limit := range of {
		limits := object{}
		if limit > 0 {
			limits["perMinute"] = limit
		}
		list = append(list, object{
			"apiVersion": "sluice.dev/v1alpha1", "kind": "MailAccount",
			"metadata": object{"namespace": namespace, "name": name},
			"spec":     object{"limits": limits},
		})
	}
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": list})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.accounts, "accounts.json"), text, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// freeAddress is an address that nothing listens on. The system gives its port to no client: a
// client of a process that is down could otherwise connect to itself, and keep the address.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// start starts the process, and does not wait.
func (p *process) start() {
	p.t.Helper()
	args := append(append([]string{}, p.wrapper...), binary(), "serve", "--accounts", p.accounts,
		"--data-dir", p.data, "--http-address", p.api, "--health-address", p.health,
		"--metrics-address", "127.0.0.1:0")
	args = append(args, p.args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.asUser != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.asUser, Gid: p.asUser}
	}
	p.cmd, p.log, p.ended, p.started = cmd, &testprocess.Log{}, make(chan struct{}), time.Now()
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func(ended chan struct{}) { p.err = cmd.Wait(); close(ended) }(p.ended)
}

// serve starts the process, and waits until it is ready. It returns how long that took.
func (p *process) serve() time.Duration {
	p.t.Helper()
	p.start()
	p.untilReady()
	return time.Since(p.started)
}

func (p *process) untilReady() {
	p.t.Helper()
	p.until("it is ready", func() bool { return p.ready() == http.StatusOK })
}

// ready is what /readyz answers, or 0 if nothing does.
func (p *process) ready() int {
	client := http.Client{Timeout: inTime}
	resp, err := client.Get("http://" + p.health + "/readyz")
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// until waits for something that must happen while the process runs.
func (p *process) until(what string, done func() bool) {
	p.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-p.ended:
			p.t.Fatalf("the process ended before this: %s (%v); the log is\n%s", what, p.err, p.log)
		case <-timeout:
			p.t.Fatalf("this did not happen: %s; the log is\n%s", what, p.log)
		}
	}
}

// untilLog waits until the log says something.
func (p *process) untilLog(text string) {
	p.t.Helper()
	p.until("the log says "+text, func() bool { return strings.Contains(p.log.String(), text) })
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process, and its wrapper, with SIGKILL.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// wait waits until the process ends by itself, and returns its exit code; -1 after a signal.
func (p *process) wait(within time.Duration) (code int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		p.t.Fatalf("the process has not ended within %s; the log is\n%s", within, p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop has the process end by SIGTERM, which must go well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(patience); code != 0 {
		p.t.Fatalf("SIGTERM ended it with %d; the log is\n%s", code, p.log)
	}
}

// refuses wants the process to end with an error, and to say why and what to do.
func (p *process) refuses(within time.Duration, says ...string) {
	p.t.Helper()
	if code := p.wait(within); code < 1 {
		p.t.Errorf("it ended with %d, want an error; the log is\n%s", code, p.log)
	}
	for _, text := range says {
		if !strings.Contains(p.log.String(), text) {
			p.t.Errorf("it does not say %q; the log is\n%s", text, p.log)
		}
	}
}

func key(name string) httpv1.Account { return httpv1.Account{Namespace: namespace, Name: name} }

// check asks under an id, to hold the slot for some seconds.
func (p *process) check(name, id string, ttl int64) (httpv1.CheckResponse, error) {
	request := httpv1.CheckRequest{ID: &id, TTLSeconds: &ttl}
	return p.client.Check(context.Background(), key(name), request)
}

func (p *process) commit(name, id string) error {
	request := httpv1.CommitRequest{Reservation: &id}
	_, err := p.client.Commit(context.Background(), key(name), request)
	return err
}

func (p *process) release(name, id string) error {
	request := httpv1.ReleaseRequest{Reservation: &id}
	_, err := p.client.Release(context.Background(), key(name), request)
	return err
}

// allow checks, which must be allowed, n times. It returns the ids.
func (p *process) allow(name string, n int, ttl int64) (ids []string) {
	p.t.Helper()
	for range n {
		id := newID()
		d, err := p.check(name, id, ttl)
		if err != nil || d.Decision != httpv1.Allow {
			p.t.Fatalf("a check got %+v, %v; the log is\n%s", d, err, p.log)
		}
		ids = append(ids, id)
	}
	return ids
}

func newID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// counted is what an account has in flight, and what it has sent within a day.
func (p *process) counted(name string) (inFlight, used int64) {
	p.t.Helper()
	u, err := p.client.Usage(context.Background(), key(name))
	if err != nil {
		p.t.Fatalf("the usage: %v; the log is\n%s", err, p.log)
	}
	return u.InFlight, usedToday(u)
}

func usedToday(u httpv1.Usage) int64 { return u.Windows[len(u.Windows)-1].Used }

// want wants an account to have so much in flight, and to have sent so much.
func (p *process) want(name string, inFlight, used int64) {
	p.t.Helper()
	if f, u := p.counted(name); f != inFlight || u != used {
		p.t.Errorf("%s has %d in flight and %d sent, want %d and %d", name, f, u, inFlight, used)
	}
}

// wantBetween wants an account to have at least and at most so much in flight, and to have sent so
// much. It is for checks that were refused: they may hold a slot.
func (p *process) wantBetween(name string, least, most, used int64) {
	p.t.Helper()
	if f, u := p.counted(name); f < least || f > most || u != used {
		p.t.Errorf("%s has %d in flight and %d sent, want %d to %d and %d",
			name, f, u, least, most, used)
	}
}

// unavailable is a check of the account a that must be answered with 503 store-unavailable, in
// time.
func (p *process) unavailable() {
	p.t.Helper()
	began := time.Now()
	d, err := p.check("a", newID(), 60)
	if !errors.Is(err, sluice.ErrStoreUnavailable) {
		p.t.Errorf("a check got %+v, %v, want 503 store-unavailable; the log is\n%s", d, err, p.log)
	}
	if took := time.Since(began); took > inTime {
		p.t.Errorf("a check was refused after %s", took)
	}
}

// available waits until a check of the account a is allowed. It returns how long that took.
func (p *process) available() time.Duration {
	p.t.Helper()
	began := time.Now()
	p.until("a check is allowed", func() bool {
		d, err := p.check("a", newID(), 60)
		return err == nil && d.Decision == httpv1.Allow
	})
	return time.Since(began)
}

// sluiceCommand runs another command of the binary. It returns all that it printed, and its exit
// code.
func sluiceCommand(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(), args...)
	text, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("sluice %q: %v, %v\n%s", args, err, ctx.Err(), text)
	}
	return string(text), cmd.ProcessState.ExitCode()
}
