//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// outbox is what the caller's dispatchers tell, as the provider of their account sees it.
type outbox struct {
	Sent    int   // mails that left
	Most    int   // mails in the fullest minute, wherever it begins
	Answers []int // decisions of Sluice, for each dispatcher
	Failed  int   // calls that were given up
	Error   string
}

// senders are dispatchers that send as fast as their account may.
type senders struct {
	t            *testing.T
	account, pod string
	limit        int
}

// startSenders starts them, and waits until they have sent a whole minute's limit. From then on the
// account is full, so that whatever is forgotten of it lets mails through that must not leave.
func startSenders(t *testing.T, account string, limit int) *senders {
	t.Helper()
	s := startSlowSenders(t, account, limit, 0)
	eventually(t, account+" is full", func() error {
		if o := s.outbox(); o.Most < limit {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
	return s
}

// startSlowSenders starts dispatchers that pause after each mail, so that some leave all the time.
func startSlowSenders(t *testing.T, account string, limit int, pause time.Duration) *senders {
	t.Helper()
	s := &senders{t: t, account: namespace + "/" + account, pod: "senders-" + account, limit: limit}
	applyAccount(t, account, fmt.Sprintf("{limits: {perMinute: %d}}", limit))
	startPod(t, s.pod, "dispatch", api, s.account, pause.String())
	t.Cleanup(func() {
		_, _ = run(t, "", "kubectl", "delete", "pod", "-n", namespace, s.pod, "--wait=false")
	})
	return s
}

func (s *senders) outbox() outbox {
	s.t.Helper()
	return lastLine[outbox](s.t, s.pod)
}

// getThrough waits until Sluice has answered each dispatcher. One answer may have been under way
// before, so it waits for two.
func (s *senders) getThrough() {
	s.t.Helper()
	before := s.outbox()
	eventually(s.t, "each dispatcher gets through", func() error {
		now := s.outbox()
		for i, n := range now.Answers {
			if n < before.Answers[i]+2 {
				return fmt.Errorf("dispatcher %d does not: %+v, and before %+v", i, now, before)
			}
		}
		return nil
	})
}

// stop has the dispatchers end what they began, and wants each mail to be counted once.
func (s *senders) stop() {
	s.t.Helper()
	kubectl(s.t, "exec", "-n", namespace, s.pod, "--", "/caller", "stop")
	kubectl(s.t, "wait", "-n", namespace, "pod/"+s.pod,
		"--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
	s.check()
	o, u := s.outbox(), usage(s.t, s.account)
	if used := u.Windows[1].Used; used != int64(o.Sent) || u.InFlight != 0 {
		s.t.Errorf("%d mails left within the hour, but these are counted: %+v", o.Sent, u)
	}
}

// check wants no minute above the limit, no call that was given up, and each mail to be counted.
func (s *senders) check() {
	s.t.Helper()
	o := s.outbox()
	s.t.Logf("%d mails left, at most %d within a minute; the limit is %d", o.Sent, o.Most, s.limit)
	if o.Most > s.limit {
		s.t.Errorf("%d mails left within a minute, want at most %d", o.Most, s.limit)
	}
	if o.Failed > 0 {
		s.t.Errorf("%d calls were given up, the last with: %s", o.Failed, o.Error)
	}
	u := usage(s.t, s.account) // after the outbox: what left before is counted by now
	if counted := u.Windows[1].Used + u.InFlight; counted < int64(o.Sent) {
		s.t.Errorf("%d mails left within the hour, but %d are counted: %+v", o.Sent, counted, u)
	}
}
