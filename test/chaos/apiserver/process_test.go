//go:build chaos

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// process is a Sluice that reaches the API server of the cluster through a network that fails.
type process struct {
	t       *testing.T
	network *redistest.Proxy
	api     string
	health  string
	metrics string
	log     *testprocess.Log
	cmd     *exec.Cmd
}

// newProcess makes one that is not started yet.
func newProcess(t *testing.T) *process {
	t.Helper()
	host := admin.Host
	if _, after, hasScheme := strings.Cut(host, "://"); hasScheme {
		host = after
	}
	host = strings.TrimRight(host, "/")
	return &process{
		t: t, network: redistest.NewProxy(t, host), log: &testprocess.Log{},
		api: freeAddress(t), health: freeAddress(t), metrics: freeAddress(t),
	}
}

// start starts it. It ends with the test.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(filepath.Join("..", "..", "..", "bin", "sluice"), "serve",
		"--http-address", p.api, "--health-address", p.health, "--metrics-address", p.metrics,
		"--auth", "kubernetes", "--lease-namespace", namespace, "--log-level", "debug")
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig())
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%v; build it with make build", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				p.t.Errorf("it ended with %v", err)
			}
		case <-time.After(time.Minute):
			_ = p.cmd.Process.Kill()
			p.t.Error("it did not end within a minute of SIGTERM")
		}
		if p.t.Failed() {
			p.t.Logf("the log of Sluice:\n%s", p.log)
		}
	})
}

// kubeconfig is the file that leads to the cluster through the network that fails.
func (p *process) kubeconfig() string {
	p.t.Helper()
	name := strings.ReplaceAll(p.t.Name(), "/", "-")
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   "https://" + p.network.Address(),
		CertificateAuthorityData: admin.CAData, CertificateAuthority: admin.CAFile,
	}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: admin.CertData, ClientCertificate: admin.CertFile,
		ClientKeyData: admin.KeyData, ClientKey: admin.KeyFile,
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	path := filepath.Join(p.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// untilReady waits until it is ready.
func (p *process) untilReady() {
	p.t.Helper()
	p.eventually(time.Minute, "it is ready", func() error {
		if status := get("http://" + p.health + "/readyz"); status != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", status)
		}
		return nil
	})
}

// as is a client with a token, which sends every request once.
func (p *process) as(token string) *sluice.Client {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		p.t.Fatal(err)
	}
	c, err := sluice.New("http://"+p.api, sluice.Options{
		TokenFile: file, Retry: sluice.Retry{MaxAttempts: 1},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// check asks once, and returns what was decided, or the kind of the problem.
func (p *process) check(c *sluice.Client, account string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	d, err := c.Check(ctx, httpv1.Account{Namespace: namespace, Name: account},
		httpv1.CheckRequest{})
	if problem, ok := errors.AsType[*httpv1.Problem](err); ok {
		return strings.TrimPrefix(problem.Type, httpv1.ProblemBase)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return d.Decision
}

// want asks until it is answered like this. Every other answer must be one of these.
func (p *process) want(c *sluice.Client, account, want string, meanwhile ...string) {
	p.t.Helper()
	p.eventually(2*time.Minute, account+" is answered with "+want, func() error {
		got := p.check(c, account)
		if got == want {
			return nil
		}
		if !strings.Contains(strings.Join(meanwhile, " "), got) {
			p.t.Fatalf("%s is answered with %s, want %s, or meanwhile %v", account, got, want,
				meanwhile)
		}
		return errors.New(got)
	})
}

// eventually asks until there is no error.
func (p *process) eventually(patience time.Duration, what string, ask func() error) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// goroutines is how many it has.
func (p *process) goroutines() (n int) {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(p.metricsRequest())
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "go_goroutines %d", &n); err == nil {
			return n
		}
	}
	p.t.Fatalf("the metrics say nothing of goroutines: %s %.300s", resp.Status, text)
	return 0
}

// metricsRequest asks for the metrics as somebody who may see them.
func (p *process) metricsRequest() *http.Request {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.metrics+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+prometheus)
	return r
}

func get(url string) (status int) {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
