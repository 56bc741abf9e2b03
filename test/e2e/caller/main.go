// Command caller is a mail dispatcher as far as Sluice can tell: it calls the HTTP API from inside
// the cluster, for the end-to-end tests. ACCOUNT is NAMESPACE/NAME, REQUEST is JSON.
//
//		caller idle                           wait to be used with kubectl exec
//		caller VERB URL ACCOUNT [REQUEST]     make one call, and print the status and the response or
//		                                      problem; VERB is check, commit, release or usage. Without
//		                                      a connection nothing was called, so that is tried again
//		                                      for a minute: names and Services are known in their own
//		                                      time
//		caller VERB URL batch REQUEST         the same for a batch; VERB is check, commit or release
//		caller exact URL ACCOUNT              check and commit an account until it is deferred, come
//		                                      back a little before the returned time and exactly then;
//		                                      print the three decisions
//		caller watch VERB URL ACCOUNT         call ten times a second for ever; print each time and
//		                                      status
//		caller replicas URL ACCOUNT           check an account for ever; print every second which
//		                                      processes of Sluice allowed sends, and when, as a line of
//		                                      JSON
//		caller dispatch URL ACCOUNT [PAUSE]   send as fast as an account may, for ever, and repeat
//		                                      what is not answered; print every second how many mails
//		                                      left, and how many in the fullest minute, as a line of
//		                                      JSON. With a pause such as 700ms each of the eight
//		                                      dispatchers waits that long after each mail
//		caller stop                           have the caller that is process 1 of the container end
//		caller give FOLDER...                 make empty folders that belong to Sluice; needs root
//		caller remove FOLDER...               remove them, with what is in them
//
//	  - main.go: the commands.
//	  - calls.go: one call, from its arguments to what is printed.
//	  - replicas.go: the command replicas.
//	  - dispatch.go: the command dispatch.
//	  - folder.go: the commands give and remove.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
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
	case len(args) == 1 && args[0] == "stop":
		return syscall.Kill(1, syscall.SIGTERM)
	case len(args) == 3 && args[0] == "exact":
		return exact(ctx, args[1], args[2])
	case len(args) == 4 && args[0] == "watch":
		return watch(ctx, args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "replicas":
		r := replicas{seen: map[string]*replica{}}
		return r.run(ctx, args[1], args[2])
	case len(args) == 3 && args[0] == "dispatch":
		return dispatch(ctx, args[1], args[2], 0)
	case len(args) == 4 && args[0] == "dispatch":
		pause, err := time.ParseDuration(args[3])
		if err != nil {
			return err
		}
		return dispatch(ctx, args[1], args[2], pause)
	case len(args) >= 2 && args[0] == "give":
		return give(args[1:])
	case len(args) >= 2 && args[0] == "remove":
		return remove(args[1:])
	case len(args) >= 3:
		return patient(ctx, args[0], args[1], args[2], strings.Join(args[3:], " "))
	}
	return fmt.Errorf("unknown arguments %q", args)
}

// newClient returns a client that sends every request once, and uses each connection once: a kept
// one would go on reaching a pod that its Service has forgotten. Its timeout leaves room for the
// resolver to ask twice, as it waits five seconds for a lost answer.
func newClient(url string) (*sluice.Client, error) {
	return sluice.New(url, sluice.Options{
		AttemptTimeout: 15 * time.Second,
		Transport:      &http.Transport{DisableKeepAlives: true},
		Retry:          sluice.Retry{MaxAttempts: 1},
		TokenFile:      tokenFile(),
	})
}

// tokenFile is where the pod's token is, or empty if it has none.
func tokenFile() string {
	const path = "/var/run/secrets/sluice/token"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// patient calls once it gets a connection.
func patient(ctx context.Context, verb, url, account, request string) error {
	client, err := newClient(url)
	if err != nil {
		return err
	}
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		status, text, err := call(ctx, client, verb, account, request)
		op, ok := errors.AsType[*net.OpError](err)
		if !ok || op.Op != "dial" || time.Now().After(until) {
			fmt.Println(status, text)
			return err
		}
		fmt.Fprintln(os.Stderr, "caller: trying again:", err)
	}
}

func exact(ctx context.Context, url, name string) error {
	client, err := newClient(url)
	if err != nil {
		return err
	}
	account := parseAccount(name)
	d, err := client.Check(ctx, account, httpv1.CheckRequest{})
	for err == nil && d.Decision == httpv1.Allow {
		_, err = client.Commit(ctx, account, httpv1.CommitRequest{Reservation: &d.Reservation.ID})
		if err == nil {
			d, err = client.Check(ctx, account, httpv1.CheckRequest{})
		}
	}
	if err != nil {
		return err
	}
	fmt.Println(d.Decision)
	for _, early := range []time.Duration{500 * time.Millisecond, 0} {
		time.Sleep(time.Until(d.DeferredUntil.Add(-early)))
		again, err := client.Check(ctx, account, httpv1.CheckRequest{})
		if err != nil {
			return err
		}
		fmt.Println(again.Decision)
	}
	return nil
}

func watch(ctx context.Context, verb, url, account string) error {
	client, err := newClient(url)
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			status, _, err := call(ctx, client, verb, account, "")
			if err != nil {
				fmt.Println(now.UTC().Format(time.RFC3339Nano), "error", err)
				continue
			}
			fmt.Println(now.UTC().Format(time.RFC3339Nano), status)
		}
	}
}
