// Command caller is a mail dispatcher as far as Sluice can tell: it calls the HTTP API from inside the cluster, for the
// end-to-end tests.
//
//	caller idle                    wait to be used with kubectl exec
//	caller call METHOD URL [BODY]  make one call; print its status and body. Without a connection nothing was called, so
//	                               that is tried again for a minute: names and Services are known in their own time
//	caller exact URL               check and commit an account until it is deferred, come back a little before the
//	                               returned time and exactly then; print the three decisions
//	caller watch METHOD URL        call ten times a second for ever; print each time and status
//	caller replicas URL            check an account for ever; print every second which processes of Sluice allowed
//	                               sends, and when, as a line of JSON
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "idle":
		<-ctx.Done()
		return nil
	case len(args) >= 3 && args[0] == "call":
		status, body, err := patient(ctx, args[1], args[2], strings.Join(args[3:], " "))
		fmt.Printf("%d %s\n", status, body)
		return err
	case len(args) == 2 && args[0] == "exact":
		return exact(ctx, args[1])
	case len(args) == 3 && args[0] == "watch":
		return watch(ctx, args[1], args[2])
	case len(args) == 2 && args[0] == "replicas":
		r := replicas{seen: map[string]*replica{}}
		return r.run(ctx, args[1])
	}
	return fmt.Errorf("unknown arguments %q", args)
}

// client uses each connection once: a kept one would go on reaching a pod that its Service has forgotten. Its timeout
// leaves room for the resolver to ask twice, as it waits five seconds for a lost answer.
var client = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func call(ctx context.Context, method, url, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(answer)), err
}

// patient calls once it gets a connection.
func patient(ctx context.Context, method, url, body string) (status int, answer string, err error) {
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		status, answer, err = call(ctx, method, url, body)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || time.Now().After(until) {
			return status, answer, err
		}
		fmt.Fprintln(os.Stderr, "caller: trying again:", err)
	}
}

func check(ctx context.Context, url string) (d httpv1.CheckResponse, err error) {
	status, body, err := call(ctx, http.MethodPost, url+"/check", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal([]byte(body), &d)
}

func exact(ctx context.Context, url string) error {
	d, err := check(ctx, url)
	for err == nil && d.Decision == httpv1.Allow {
		if _, _, err = call(ctx, http.MethodPost, url+"/commit", ""); err == nil {
			d, err = check(ctx, url)
		}
	}
	if err != nil {
		return err
	}
	fmt.Println(d.Decision)
	for _, early := range []time.Duration{500 * time.Millisecond, 0} {
		time.Sleep(time.Until(d.DeferredUntil.Add(-early)))
		again, err := check(ctx, url)
		if err != nil {
			return err
		}
		fmt.Println(again.Decision)
	}
	return nil
}

func watch(ctx context.Context, method, url string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			status, _, err := call(ctx, method, url, "")
			if err != nil {
				fmt.Println(now.UTC().Format(time.RFC3339Nano), "error", err)
				continue
			}
			fmt.Println(now.UTC().Format(time.RFC3339Nano), status)
		}
	}
}
