package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/test/controlplane"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// TestMain makes the test binary the program itself, where a test starts it as that.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(controlplane.Run(m))
}

const asProgram = "SLUICE_TEST_AS_PROGRAM"

// command is the program, as a process of its own.
func command(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asProgram+"=yes"), environment...)
	return cmd
}

// program is a running program, with addresses that were free.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *testprocess.Log
	api    string
	health string
}

// start runs the program with these arguments. It ends with the test.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, log: &testprocess.Log{}, api: freeAddress(t), health: freeAddress(t)}
	args = append(args, "--http-address", p.api, "--health-address", p.health, "--metrics-address",
		"127.0.0.1:0")
	p.run(command(t, nil, args...))
	return p
}

// run starts the process.
func (p *program) run(cmd *exec.Cmd) {
	p.t.Helper()
	p.cmd, cmd.Stderr = cmd, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// freeAddress is an address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// get returns the status and body of a GET, or 0 if nothing answers.
func get(url string) (int, string) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// until waits for something, for up to 30 seconds.
func (p *program) until(what string, done func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			p.t.Fatalf("%s did not happen; the log is\n%s", what, p.log)
		}
	}
}

// untilReady waits until all limits are loaded.
func (p *program) untilReady() {
	p.t.Helper()
	p.until("ready", func() bool {
		status, _ := get("http://" + p.health + "/readyz")
		return status == http.StatusOK
	})
}

// terminate sends SIGTERM.
func (p *program) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// wait wants the program to exit with 0.
func (p *program) wait() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the program ended with %v; the log is\n%s", err, p.log)
	}
}

func (p *program) stop() {
	p.t.Helper()
	p.terminate()
	p.wait()
}

const manifest = `{
	"apiVersion": "sluice.dev/v1alpha1",
	"kind": "MailAccount",
	"metadata": {"namespace": "n", "name": "a"},
	"spec": {"limits": {"perMinute": 2}}
}`

func accounts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestServeFolder(t *testing.T) {
	p := start(t, "serve", "--accounts", accounts(t), "--reservation-ttl", "7s")
	p.untilReady()
	before := time.Now()
	resp, err := http.Post("http://"+p.api+"/v1/accounts/n/a/check", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var d struct{ Reservation struct{ ExpiresAt time.Time } }
	err = json.NewDecoder(resp.Body).Decode(&d)
	ttl := d.Reservation.ExpiresAt.Sub(before)
	if err != nil || ttl < 6*time.Second || ttl > 9*time.Second {
		t.Errorf("the reservation ends %s from now, %v; want the 7 s of --reservation-ttl", ttl, err)
	}
	p.stop()
	if !strings.Contains(p.log.String(), `"msg":"sluice has stopped"`) {
		t.Error("the log does not tell of the end")
	}
}

// TestShutdownFinishesWhatIsInFlight stops the program between the two halves of requests: what has
// left is recorded, and nothing more is admitted.
func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	p := start(t, "serve", "--accounts", accounts(t))
	p.untilReady()
	commit, check := p.begin("commit"), p.begin("check")
	p.terminate()
	p.until("the listener is closed", func() bool {
		status, _ := get("http://" + p.api + "/openapi.yaml")
		return status == 0
	})
	if answer := commit.finish(); !strings.Contains(answer, `"outcome":"Unreserved"`) {
		t.Errorf("a commit in flight got %q", answer)
	}
	if answer := check.finish(); !strings.Contains(answer, "503") ||
		!strings.Contains(answer, "/not-ready") {
		t.Errorf("a check in flight got %q", answer)
	}
	p.wait()
}

// half is a request of which the program has the header, and not yet the body.
type half struct {
	t    *testing.T
	conn net.Conn
}

// begin sends the first half of a request about the account n/a.
func (p *program) begin(verb string) *half {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.api)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /v1/accounts/n/a/%s HTTP/1.1\r\nHost: x\r\n"+
		"Content-Type: application/json\r\n"+
		"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", verb)
	if err != nil {
		p.t.Fatal(err)
	}
	// The server asks for the body once the request is in its hands.
	if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
		p.t.Fatal(err)
	}
	return &half{p.t, conn}
}

// finish sends the second half and returns the answer.
func (h *half) finish() string {
	h.t.Helper()
	if _, err := io.WriteString(h.conn, "{}"); err != nil {
		h.t.Fatal(err)
	}
	answer, _ := io.ReadAll(h.conn)
	return string(answer)
}

// TestUnreachableCluster wants the program to wait, unready and saying so, and to answer 503.
func TestUnreachableCluster(t *testing.T) {
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://%s"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`, freeAddress(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", config)
	p := start(t, "serve", "--auth", "none")
	p.until("the log tells",
		func() bool { return strings.Contains(p.log.String(), "cannot be reached") })
	if status, body := get("http://" + p.health + "/readyz"); status != 503 ||
		!strings.Contains(body, "limits are not loaded yet") {
		t.Errorf("/readyz answers %d %s", status, body)
	}
	if status, _ := get("http://" + p.health + "/healthz"); status != 200 {
		t.Errorf("/healthz answers %d", status)
	}
	if status, body := get("http://" + p.api + "/v1/accounts/n/a"); status != 503 ||
		!strings.Contains(body, "not-ready") {
		t.Errorf("the API answers %d %s", status, body)
	}
	p.stop()
}

func TestErrorsSayWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	serveFree := []string{"serve", "--http-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0",
		"--metrics-address", "127.0.0.1:0"}
	away := freeAddress(t)
	nowhere := "http://" + away
	t.Setenv("KUBECONFIG", "/nowhere")
	for name, c := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"no such command":      {[]string{"server"}, nil, `unknown command "server"`},
		"no such flag":         {[]string{"serve", "--port", "1"}, nil, "unknown flag: --port"},
		"an argument too many": {[]string{"serve", "accounts"}, nil, `unknown command "accounts"`},
		"the folder is missing": {append(slices.Clone(serveFree), "--accounts", "/nowhere"), nil,
			"the folder of accounts cannot be read: open /nowhere: no such file"},
		"no cluster": {serveFree, nil, "run inside one, set KUBECONFIG, or use --accounts DIR"},
		"the address is in use": {[]string{"serve", "--auth", "none", "--http-address",
			taken.Addr().String()}, nil,
			"is in use by another process; stop that, or choose another address"},
		"the address is none": {[]string{"serve", "--auth", "none", "--http-address", "nowhere"}, nil,
			"--http-address nowhere cannot be listened on"},
		"a ttl out of bounds": {[]string{"serve", "--reservation-ttl", "1h"}, nil,
			"--reservation-ttl must be 1s to 15m, not 1h0m0s"},
		"no reservations of one": {[]string{"serve", "--max-reservations-per-account", "-1"}, nil,
			"--max-reservations-per-account must be 1 or more, or 0 for the default, not -1"},
		"no reservations": {[]string{"serve", "--max-reservations", "0"}, nil,
			"--max-reservations must be 1 to 1000000000, not 0"},
		"more than memory can hold": {[]string{"serve", "--max-reservations", "1000000001"}, nil,
			"--max-reservations must be 1 to 1000000000"},
		"no connections": {[]string{"serve", "--max-connections", "0"}, nil,
			"--max-connections must be 1 or more"},
		"nothing in flight": {[]string{"serve", "--max-in-flight", "0"}, nil,
			"--max-in-flight must be 1 or more"},
		"a pace of syncs": {[]string{"serve", "--data-dir", "d", "--sync", "now"}, nil,
			`--sync must be always, or 1ms to 10s, not "now"`},
		"a pace that loses too much": {[]string{"serve", "--data-dir", "d", "--sync", "1h"}, nil,
			`--sync must be always, or 1ms to 10s, not "1h"`},
		"a pace without a journal": {[]string{"serve", "--sync", "100ms"}, nil,
			"--sync, --trust-clock and --accept-loss are about a journal: they need --data-dir"},
		"a loss of nothing": {[]string{"serve", "--data-dir", "d", "--accept-loss", "newsletter"}, nil,
			`--accept-loss: "newsletter" is neither "all" nor accounts such as`},
		"a data directory that is a file": {append(slices.Clone(serveFree), "--accounts", accounts(t),
			"--data-dir", os.Args[0]), nil, "it is no directory: choose another"},
		"two stores": {[]string{"serve", "--data-dir", "d", "--redis-url", "redis://h:1"}, nil,
			"--redis-url and --data-dir both say where to keep what was sent: leave one of them out"},
		"a password of no store": {[]string{"serve", "--redis-password-file", "f"}, nil,
			"the flags that begin with --redis- are about a shared store: they need --redis-url"},
		"a timeout of no store": {[]string{"serve"}, []string{"SLUICE_REDIS_TIMEOUT=1s"},
			"the flags that begin with --redis- are about a shared store: they need --redis-url"},
		"a store without time": {[]string{"serve", "--redis-url", "redis://h:1", "--redis-timeout",
			"9ms"}, nil, "--redis-timeout must be 10ms to 10s, not 9ms"},
		"a store that takes too long": {[]string{"serve", "--redis-url", "redis://h:1",
			"--redis-timeout", "11s"}, nil, "--redis-timeout must be 10ms to 10s, not 11s"},
		"a prefix with braces": {[]string{"serve", "--redis-url", "redis://h:1", "--redis-prefix",
			"{a}"}, nil, `--redis-prefix must be 1 to 32 letters, digits, dots, hyphens or underscores`},
		"fewer than no replicas": {[]string{"serve", "--redis-url", "redis://h:1",
			"--redis-wait-replicas", "-1"}, nil, "--redis-wait-replicas must be 0 to 100, not -1"},
		"a URL of something else": {append(slices.Clone(serveFree), "--accounts", accounts(t),
			"--redis-url", "http://:secret@h"), nil, "--redis-url: the URL of Redis is not as in redis://"},
		"a store without a cluster": {append(slices.Clone(serveFree), "--redis-url", "redis://h:1"),
			nil, "run inside one, set KUBECONFIG, or use --accounts DIR"},
		"the status of nothing": {[]string{"redis", "status"}, nil,
			"say where the store is: --redis-url, or SLUICE_REDIS_URL"},
		"the status of a server that is away": {[]string{"redis", "status", "--redis-url",
			"redis://" + away}, nil, "--redis-url: dial tcp " + away},
		"the loss of nothing in particular": {[]string{"redis", "accept-loss"}, nil,
			"say which epoch: `sluice redis status` tells which one is lost"},
		"a journal that is not there": {[]string{"journal", "verify", "/nowhere"}, nil,
			"/nowhere holds no journal: give the folder of --data-dir"},
		"callers that nobody knows": {[]string{"serve", "--auth", "basic"}, nil,
			`--auth must be kubernetes or none, not "basic"`},
		"tokens without a cluster": {append(slices.Clone(serveFree), "--accounts", t.TempDir(),
			"--auth", "kubernetes"), nil, "--auth=kubernetes needs a cluster to ask who calls: run inside"},
		"an audience that is none": {[]string{"serve", "--auth-audience", "a b"}, nil,
			`--auth-audience must be 1 to 253 visible ASCII characters, not "a b"`},
		"an audience of nobody": {[]string{"serve", "--auth", "none", "--auth-audience", "a"}, nil,
			"--auth-audience is about tokens, which --auth=none does not ask for"},
		"a log format": {[]string{"serve", "--log-format", "xml"}, nil,
			`--log-format must be json or text, not "xml"`},
		"a log level": {[]string{"serve", "--log-level", "loud"}, nil,
			`--log-level must be debug, info or error, not "loud"`},
		"an environment variable": {[]string{"serve"}, []string{"SLUICE_MAX_RESERVATIONS=many"},
			`the environment variable SLUICE_MAX_RESERVATIONS="many" is no value for --max-reservations`},
		"a smoke test of no account": {[]string{"smoke-test"}, nil, "--account must be NAMESPACE/NAME"},
		"a smoke test of nothing": {
			[]string{"smoke-test", "--account", "n/a", "--url", nowhere, "--timeout", "10ms"}, nil,
			"n/a was not served in time"},
		"an environment out of bound": {[]string{"serve"}, []string{"SLUICE_RESERVATION_TTL=0s"},
			"--reservation-ttl must be 1s to 15m"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := command(t, c.env, c.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) ||
				strings.Contains(string(out), "is serving") {
				t.Errorf("got  %v, %s\nwant %s", err, out, c.want)
			}
		})
	}
}

// TestEnvironment sets every flag from its variable.
func TestEnvironment(t *testing.T) {
	address := freeAddress(t)
	env := []string{
		"SLUICE_ACCOUNTS=" + accounts(t), "SLUICE_HTTP_ADDRESS=" + address,
		"SLUICE_HEALTH_ADDRESS=127.0.0.1:0",
		"SLUICE_METRICS_ADDRESS=127.0.0.1:0", "SLUICE_LOG_FORMAT=text",
	}
	p := &program{t: t, log: &testprocess.Log{}}
	p.run(command(t, env, "serve", "--log-format", "json"))
	p.until("it serves", func() bool {
		status, _ := get("http://" + address + "/v1/accounts/n/a")
		return status == http.StatusOK
	})
	p.stop()
	if !strings.HasPrefix(p.log.String(), "{") {
		t.Errorf("the flag did not win over the variable: %s", p.log)
	}
}

func TestSmokeTestAndVersion(t *testing.T) {
	p := start(t, "serve", "--accounts", accounts(t))
	smokeTest := func() (string, error) {
		cmd := command(t, nil, "smoke-test", "--url", "http://"+p.api, "--account", "n/a")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, last := range []string{`"outcome":"Released"`, `"decision":"Defer"`} { // each is one send
		out, err := smokeTest()
		if err != nil || !strings.Contains(out, `"outcome":"Committed"`) ||
			!strings.Contains(out, last) {
			t.Errorf("the smoke test ended with %v and printed %s, want %s last", err, out, last)
		}
	}
	// The third send is over the limit of two a minute.
	if out, err := smokeTest(); err == nil || !strings.Contains(out, "answered Defer") {
		t.Errorf("a smoke test over the limit ended with %v and printed %s", err, out)
	}
	p.stop()
	if out, err := command(t, nil, "version").Output(); err != nil ||
		!strings.HasPrefix(string(out), "sluice devel") {
		t.Errorf("version printed %q, %v", out, err)
	}
}
