package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// timeline is a folder's state at a time of the test's own.
type timeline struct {
	t     *testing.T
	state *dirState
	now   time.Time
	last  decision // the last one that changed something
}

// newTimeline begins with some files.
func newTimeline(t *testing.T, changes map[string]reading) *timeline {
	t.Helper()
	l := &timeline{t: t, state: newDirState(), now: time.Unix(1_000_000, 0)}
	l.last = l.state.advance(changes, l.now, 0)
	if !l.last.changed {
		t.Fatal("the beginning decides nothing")
	}
	return l
}

// sees is a poll that finds changes.
func (l *timeline) sees(changes map[string]reading) {
	if d := l.state.advance(changes, l.now, settle); d.changed {
		l.last = d
	}
}

// after lets time pass, and polls when it has, and whenever the state says that something is due.
func (l *timeline) after(d time.Duration) {
	end := l.now.Add(d)
	for {
		due, ok := l.state.due(settle)
		if !ok || !due.After(l.now) || due.After(end) {
			break
		}
		l.now = due
		l.sees(nil)
	}
	l.now = end
	l.sees(nil)
}

// wants compares the accounts in force with those of a text such as "a=1 b=2".
func (l *timeline) wants(when, want string) {
	l.t.Helper()
	var got []string
	for key, account := range l.last.accounts {
		got = append(
			got,
			fmt.Sprintf("%s=%d", key.Name, account.policy.Limits[limiter.Cost][limiter.Minute]),
		)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
		l.t.Errorf("%s, the accounts in force (-want +got):\n%s", when, diff)
	}
}

// holding is the reading of a file that declares accounts, such as a=1.
func holding(accounts ...string) reading {
	content := "# accounts\n"
	for _, account := range accounts {
		name, limit, _ := strings.Cut(account, "=")
		content += "---\napiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n" +
			"metadata: {name: " + name + ", namespace: \"n\"}\n" +
			"spec: {limits: {perMinute: " + limit + "}}\n"
	}
	return reading{content: []byte(content)}
}

func text(content string) reading { return reading{content: []byte(content)} }

var (
	gone       = reading{gone: true}
	unreadable = reading{problem: errors.New("permission denied")}
)

type files = map[string]reading

// The kinds of disappearing, and what becomes of the account b, which was in b.yaml with the
// account c.
func TestDisappearing(t *testing.T) {
	for name, tc := range map[string]struct {
		changes                      files
		soon, beforeGrace, afterward string
	}{
		"its file is gone": {files{"b.yaml": gone}, "a=1", "a=1", "a=1"},
		"its file no longer has it": {
			files{"b.yaml": holding("c=3")}, "a=1 b=2 c=3", "a=1 b=2 c=3", "a=1 c=3",
		},
		"its file has others": {
			files{"b.yaml": text("{apiVersion: v1, kind: Secret}")}, "a=1 b=2 c=3", "a=1 b=2 c=3",
			"a=1",
		},
		"its file is a list of nothing": {
			files{"b.yaml": text("{apiVersion: v1, kind: List, items: []}")}, "a=1 b=2 c=3",
			"a=1 b=2 c=3", "a=1",
		},
		"its file is empty": {
			files{"b.yaml": text("")}, "a=1 b=2 c=3", "a=1 b=2 c=3", "a=1 b=2 c=3",
		},
		"its file has comments": {
			files{"b.yaml": text("# b\n---\n")}, "a=1 b=2 c=3", "a=1 b=2 c=3", "a=1 b=2 c=3",
		},
		"its file is broken": {
			files{"b.yaml": text("apiVersion: sluice.d")}, "a=1 b=2 c=3", "a=1 b=2 c=3",
			"a=1 b=2 c=3",
		},
		"its file cannot be read": {
			files{"b.yaml": unreadable}, "a=1 b=2 c=3", "a=1 b=2 c=3", "a=1 b=2 c=3",
		},
		"another file takes it": {
			files{"b.yaml": holding("c=3"), "d.yaml": holding("b=5")}, "a=1 b=5 c=3", "a=1 b=5 c=3",
			"a=1 b=5 c=3",
		},
		"an earlier file takes it": {
			files{"b.yaml": holding("c=3"), "a.yaml": holding("a=1", "b=5")}, "a=1 b=5 c=3",
			"a=1 b=5 c=3", "a=1 b=5 c=3",
		},
		"its file is renamed": {
			files{"b.yaml": gone, "d.yaml": holding("b=2", "c=3")}, "a=1 b=2 c=3", "a=1 b=2 c=3",
			"a=1 b=2 c=3",
		},
		"nothing happens": {nil, "a=1 b=2 c=3", "a=1 b=2 c=3", "a=1 b=2 c=3"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTimeline(t, files{"a.yaml": holding("a=1"), "b.yaml": holding("b=2", "c=3")})
			l.sees(tc.changes)
			l.wants("before it has settled", "a=1 b=2 c=3")
			l.after(settle)
			l.wants("once it has settled", tc.soon)
			l.after(grace - time.Nanosecond)
			l.wants("just before the grace is over", tc.beforeGrace)
			l.after(time.Nanosecond)
			l.wants("when the grace is over", tc.afterward)
			l.after(time.Hour)
			l.wants("an hour later", tc.afterward)
		})
	}
}

func TestAnAccountThatReturnsStays(t *testing.T) {
	l := newTimeline(t, files{"a.yaml": holding("a=1", "b=1")})
	l.sees(files{"a.yaml": holding("a=1")})
	l.after(9 * time.Second)
	l.sees(files{"z.yaml": holding("b=2")})
	l.after(settle)
	l.wants("when another file declares it", "a=1 b=2")
	l.after(time.Minute)
	l.wants("a minute later", "a=1 b=2")
}

// TestALeavingAccount of a file that is then broken, and of one that is then gone.
func TestALeavingAccount(t *testing.T) {
	l := newTimeline(t, files{"a.yaml": holding("a=1", "b=1")})
	l.sees(files{"a.yaml": holding("a=1")})
	l.after(time.Second)
	l.sees(files{"a.yaml": text("{")})
	l.after(time.Minute)
	l.wants("while its file is broken", "a=1 b=1")
	if due, ok := l.state.due(settle); ok {
		t.Errorf("something is due at %s, though nothing can happen", due)
	}
	l.sees(files{"a.yaml": gone})
	l.after(settle)
	l.wants("when its file is gone", "")

	l = newTimeline(t, files{"a.yaml": holding("a=1", "b=1"), "z.yaml": holding("z=1")})
	l.sees(files{"a.yaml": holding("a=1"), "z.yaml": holding("z=1", "b=7")})
	l.after(time.Second)
	l.wants("after it has moved", "a=1 b=7 z=1")
	l.sees(files{"z.yaml": gone})
	l.after(settle)
	l.wants("when the file is gone to which it had moved", "a=1")
}

func TestSettling(t *testing.T) {
	l := newTimeline(t, files{"a.yaml": holding("a=1", "b=1")})
	l.sees(files{"a.yaml": gone})
	l.after(settle - time.Nanosecond)
	l.sees(files{"a.yaml": holding("a=2", "b=2")})
	l.after(time.Nanosecond)
	l.wants("when an editor wrote the file anew", "a=1 b=1")
	l.after(settle)
	l.wants("once that has settled", "a=2 b=2")

	for i := range 20 { // a file that changes all the time
		l.sees(files{"a.yaml": holding(fmt.Sprintf("a=%d", 10+i), "b=2")})
		l.after(settle / 3)
	}
	last := l.last.accounts[limiter.Key{Namespace: "n", Name: "a"}].policy.Limits
	if last[limiter.Cost][limiter.Minute] < 20 {
		t.Error("a file that changes all the time is not followed")
	}

	l = newTimeline(t, files{"a.yaml": holding("a=1")})
	l.sees(files{"a.yaml": gone})
	l.after(settle - time.Nanosecond)
	l.sees(files{"b.yaml": holding("a=1")})
	l.after(time.Nanosecond)
	l.wants("when its file is gone, and a new one has not settled", "a=1")
	l.after(time.Second)
	l.wants("once the new one has settled", "a=1")
}

func TestWhichFileHolds(t *testing.T) {
	l := newTimeline(t, files{"a.yaml": holding("x=1"), "b.yaml": holding("x=2")})
	l.wants("of two that are right", "x=1")
	want := []duplicate{{limiter.Key{Namespace: "n", Name: "x"}, "a.yaml", "b.yaml"}}
	if !slices.Equal(l.last.duplicates, want) {
		t.Errorf("it tells of %v, want %v", l.last.duplicates, want)
	}
	l.sees(files{"a.yaml": text("# moved to b.yaml")})
	l.after(time.Minute)
	l.wants("of a broken one and a right one", "x=2")
}

// TestComplete wants it to be told that all is known only once each file has been right.
func TestComplete(t *testing.T) {
	for name, tc := range map[string]struct {
		first reading
		want  bool
	}{
		"accounts":           {holding("b=1"), true},
		"nothing":            {text(""), true},
		"something else":     {text("{apiVersion: v1, kind: Secret}"), true},
		"half an account":    {text("apiVersion: sluice.dev/v1alpha1\nkind: MailAcc"), false},
		"no type":            {text("a: b"), false},
		"it cannot be read":  {unreadable, false},
		"it does not answer": {reading{problem: errNoAnswer}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTimeline(t, files{"a.yaml": holding("a=1"), "b.yaml": tc.first})
			l.wants(
				"of the right file",
				strings.TrimSpace("a=1 "+map[bool]string{true: "b=1"}[name == "accounts"]),
			)
			if l.last.complete != tc.want {
				t.Errorf("complete is %v", l.last.complete)
			}
			if (len(l.last.notes) == 0) != tc.want {
				t.Errorf("it notes %+v", l.last.notes)
			}
			l.sees(files{"b.yaml": gone})
			l.after(settle)
			if !l.last.complete {
				t.Error("it is not complete without the file")
			}
		})
	}
	if l := newTimeline(t, nil); !l.last.complete {
		t.Error("no file at all is not complete")
	}
}

func TestNothingChangesOnAPollThatFindsNothing(t *testing.T) {
	l := newTimeline(t, files{"a.yaml": holding("a=1")})
	if d := l.state.advance(nil, l.now.Add(time.Hour), settle); d.changed {
		t.Errorf("it decides %v", d)
	}
}
