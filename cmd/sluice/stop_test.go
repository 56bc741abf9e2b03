package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
	"github.com/sluice-mail/sluice/test/testprocess"
)

// TestServesOnceItCan wants the log to say so then, and not before.
func TestServesOnceItCan(t *testing.T) {
	dir := accounts(t)
	file := filepath.Join(dir, "b.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--accounts", dir)
	p.until("the log tells of the broken file",
		func() bool { return strings.Contains(p.log.String(), "broken file") })
	status, _ := get("http://" + p.api + "/v1/accounts/n/a")
	if status != http.StatusServiceUnavailable {
		t.Errorf("the account is answered with %d", status)
	}
	if strings.Contains(p.log.String(), "is serving") {
		t.Errorf("it said that it serves:\n%s", p.log)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.until("the log says that it serves",
		func() bool { return strings.Contains(p.log.String(), `"msg":"sluice is serving"`) })
	if status, _ := get("http://" + p.api + "/v1/accounts/n/a"); status != http.StatusOK {
		t.Errorf("the account is answered with %d", status)
	}
	p.stop()
}

// used is how much an account of the program has sent within the last minute.
func (p *program) used() (n int) {
	p.t.Helper()
	status, body := get("http://" + p.api + "/v1/accounts/n/a")
	var usage struct{ Windows []struct{ Used int } }
	if err := json.Unmarshal([]byte(body), &usage); err != nil || status != http.StatusOK ||
		len(usage.Windows) == 0 {
		p.t.Fatalf("the usage is %d %s, %v; the log is\n%s", status, body, err, p.log)
	}
	return usage.Windows[0].Used
}

// post makes a call about the account n/a, and returns the status, or 0 if nothing answers.
func (p *program) post(verb string) (status int, body string) {
	resp, err := http.Post("http://"+p.api+"/v1/accounts/n/a/"+verb, "application/json", nil)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// TestSignalsThatEndNothing: a terminal that is closed, and a reader of the log that is gone, must
// not make it forget what was sent.
func TestSignalsThatEndNothing(t *testing.T) {
	p := &program{t: t, log: &testprocess.Log{}, api: freeAddress(t), health: freeAddress(t)}
	cmd := command(t, nil, "serve", "--accounts", accounts(t), "--log-level", "debug",
		"--http-address", p.api, "--health-address", p.health, "--metrics-address", "127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = cmd
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p.untilReady()
	if status, body := p.post("commit"); status != http.StatusOK {
		t.Fatal(status, body)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	// Makes a line in the log.
	if status, _ := get("http://" + p.api + "/nothing/here"); status != http.StatusNotFound {
		t.Errorf("an unknown path is answered with %d", status)
	}
	if n := p.used(); n != 1 {
		t.Errorf("it remembers %d sends, want 1", n)
	}
	p.stop()
}

// TestNothingIsAdmittedAfterSIGTERM freezes the API server, so that the controllers take their time
// to stop, and sends SIGTERM while a caller asks without a pause.
func TestNothingIsAdmittedAfterSIGTERM(t *testing.T) {
	limit := int32(1 << 30)
	account := &v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "drained"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &limit}},
	}
	if err := controlplane.Client(t).Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	apiServer := startFreezer(t)
	t.Setenv("KUBECONFIG", apiServer.kubeconfig)
	p := start(t, "serve", "--auth", "none")
	p.untilReady()
	p.until("elected",
		func() bool { return strings.Contains(p.log.String(), "this replica writes the status") })

	checkURL := "http://" + p.api + "/v1/accounts/default/drained/check"
	idle := &http.Client{} // keeps a connection that was open before
	ask := func() (status int) {
		resp, err := idle.Post(checkURL, "application/json", nil)
		if err != nil {
			return 0
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if status := ask(); status != http.StatusOK {
		t.Fatalf("a check is answered with %d", status)
	}
	apiServer.freeze()
	p.terminate()
	terminated := time.Now()
	p.until("unready", func() bool {
		status, _ := get("http://" + p.health + "/readyz")
		return status != http.StatusOK
	})
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if took := time.Since(terminated); err != nil || took > shutdownTimeout+5*time.Second {
				t.Errorf("it ended after %s with %v; the log is\n%s", took, err, p.log)
			}
			return
		default:
		}
		if status := ask(); status == http.StatusOK {
			t.Fatalf("a check was admitted %s after SIGTERM", time.Since(terminated))
		}
	}
}

// freezer stands between a client and the API server, and can stop to pass on what either says, as
// if the API server were frozen: connections stay, and nobody answers.
type freezer struct {
	kubeconfig string
	mu         sync.RWMutex // held by whoever freezes it
	freeze     func()
}

func startFreezer(t *testing.T) *freezer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	target, err := url.Parse(controlplane.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &freezer{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	f.freeze = sync.OnceFunc(f.mu.Lock)
	t.Cleanup(func() { f.freeze(); f.mu.Unlock() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target.Host)
			if err != nil {
				_ = client.Close()
				continue
			}
			go f.pass(client, server)
			go f.pass(server, client)
		}
	}()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: fmt.Sprintf("https://%s", listener.Addr()),
		CertificateAuthorityData: controlplane.Config.CAData, TLSServerName: target.Hostname()}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: controlplane.Config.CertData, ClientKeyData: controlplane.Config.KeyData}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*config, f.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return f
}

// pass copies what one side says to the other, while the API server is not frozen.
func (f *freezer) pass(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		f.mu.RLock()
		_, err = to.Write(buffer[:n])
		f.mu.RUnlock()
		if err != nil {
			return
		}
	}
}
