package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// namespace is that of all accounts here.
const namespace = "sluice-fidelity"

// process is a running Sluice.
type process struct {
	url    string
	folder string // of its accounts; empty if they are in a cluster
	cmd    *exec.Cmd
	client *sluice.Client
}

// startFolder starts one that takes its accounts from a folder, which is empty at first.
func startFolder(ctx context.Context, binary string) (*process, error) {
	folder, err := os.MkdirTemp("", "sluice-fidelity-")
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, binary, nil, "--accounts", folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	p.folder = folder
	return p, nil
}

// start starts the binary and waits until it says where it serves.
func start(
	ctx context.Context, binary string, environment []string, args ...string,
) (*process, error) {
	args = append([]string{
		"serve", "--http-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0",
		"--metrics-address", "127.0.0.1:0",
	}, args...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), environment...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; build it with make build", err)
	}
	p := &process{cmd: cmd}
	var log strings.Builder // until it serves
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var line struct{ Msg, HTTP string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.HTTP != "" {
			p.url = "http://" + line.HTTP
			go passOn(lines)
			p.client, err = newClient(p.url)
			return p, err
		}
		log.WriteString(lines.Text() + "\n")
	}
	return nil, errors.Join(fmt.Errorf("sluice ended instead of serving:\n%s", &log), cmd.Wait())
}

// passOn writes the errors of the log, except those of calls that the end of the process cut off.
func passOn(lines *bufio.Scanner) {
	for lines.Scan() {
		if line := lines.Text(); strings.Contains(line, `"level":"ERROR"`) &&
			!strings.Contains(line, "context canceled") {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
	if p.folder != "" {
		_ = os.RemoveAll(p.folder)
	}
}

// limits of an account; 0 is none.
type limits struct{ minute, hour, day int }

func (l limits) yaml() string {
	var parts []string
	for _, limit := range []struct {
		name string
		n    int
	}{{"perMinute", l.minute}, {"perHour", l.hour}, {"perDay", l.day}} {
		if limit.n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", limit.name, limit.n))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// enforce writes the accounts of one measure, such as random-0, random-1, to a file, and waits
// until they are in force.
func (p *process) enforce(ctx context.Context, measure string, of []limits) ([]*account, error) {
	var text strings.Builder
	accounts := make([]*account, len(of))
	for i, l := range of {
		accounts[i] = &account{process: p, name: fmt.Sprintf("%s-%d", measure, i), limits: l}
		fmt.Fprintf(&text, "---\napiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"+
			"metadata: {name: %s, namespace: %s}\nspec: {limits: %s}\n",
			accounts[i].name, namespace, l.yaml())
	}
	temporary := filepath.Join(p.folder, measure+".new")
	if err := os.WriteFile(temporary, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(temporary, filepath.Join(p.folder, measure+".yaml")); err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if err := a.wait(ctx); err != nil {
			return nil, err
		}
	}
	return accounts, nil
}

// wait waits until the account's limits are in force.
func (a *account) wait(ctx context.Context) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		u, err := a.usage(ctx)
		if err == nil && limitsOf(u) == a.limits {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the limits of %s are not in force: %+v, %w", a.name, u, err)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// limitsOf reads the limits that are in force.
func limitsOf(u httpv1.Usage) (l limits) {
	for _, w := range u.Windows {
		limit := map[string]*int{"minute": &l.minute, "hour": &l.hour, "day": &l.day}[w.Window]
		if limit != nil && w.Limit != nil {
			*limit = int(*w.Limit)
		}
	}
	return l
}

// sleep sleeps, unless the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
