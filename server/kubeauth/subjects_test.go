package kubeauth

import (
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
)

func newSubject(t *subjects, name string, now time.Time) *subject {
	return t.of(&authenticationv1.UserInfo{Username: serviceAccountPrefix + name}, now)
}

// learnMany has a subject learn about accounts that have random names.
func learnMany(s *subject, from, n int, allowed bool, now time.Time) {
	for i := from; i < from+n; i++ {
		s.learn(question{"use", "marketing", fmt.Sprintf("random-%d", i)}, allowed, now)
	}
}

func TestSubjectForgetsItsOldestDecisions(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	s, other := newSubject(all, "mail:hostile", now), newSubject(all, "mail:dispatcher", now)
	newsletter := question{"use", "marketing", "newsletter"}
	for _, subject := range []*subject{s, other} {
		subject.learn(newsletter, true, now)
	}
	learnMany(s, 0, 100_000, false, now)
	if k := s.known(newsletter, now); k.allow == nil {
		t.Error("denials have evicted a right")
	}
	learnMany(s, 100_000, 100_000, true, now)
	if k := s.known(newsletter, now); k.allow != nil {
		t.Error("the right that was not used for longest is remembered")
	}
	if k := other.known(newsletter, now); k.allow == nil {
		t.Error("another subject has forgotten a right")
	}
	if n := s.allows.Len() + s.denies.Len(); n != maxAllows+maxDenies {
		t.Errorf("%d decisions are remembered", n)
	}
	if want := s.size.Load() + other.size.Load(); all.bytes.Load() != want {
		t.Errorf("all have %d bytes, and together %d", all.bytes.Load(), want)
	}
	for _, subject := range []*subject{s, other} {
		subject.forget(false)
	}
	if all.bytes.Load() != 0 {
		t.Errorf("%d bytes are left of nothing", all.bytes.Load())
	}
}

func TestDecisionThatChangesIsCountedOnce(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	s := newSubject(all, "mail:dispatcher", now)
	q := question{"use", "marketing", "newsletter"}
	for i := range 10 {
		s.learn(q, i%4 < 2, now)
		if all.bytes.Load() != q.bytes() {
			t.Fatalf("%d bytes after %d answers, want %d", all.bytes.Load(), i, q.bytes())
		}
	}
}

func TestSubjectWithMostDecisionsPays(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	newsletter := question{"use", "marketing", "newsletter"}
	dispatcher := newSubject(all, "mail:dispatcher", now)
	dispatcher.learn(newsletter, true, now)
	for i := range 20 {
		hostile := newSubject(all, fmt.Sprintf("mail:hostile-%d", i), now)
		for from := 0; from < maxAllows; from += 1024 {
			learnMany(hostile, from, 1024, true, now)
			all.trim()
			if n := all.bytes.Load(); n > maxDecisionBytes {
				t.Fatalf("%d bytes are remembered", n)
			}
		}
	}
	if k := dispatcher.known(newsletter, now); k.allow == nil {
		t.Error("somebody with one decision has forgotten it")
	}
}

func TestSubjectsGiveWay(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	idle := newSubject(all, "mail:idle", now)
	idle.learn(question{"use", "marketing", ""}, true, now)
	busy := newSubject(all, "mail:busy", now)
	for i := range 2 * maxSubjects {
		now = now.Add(time.Second)
		if all.current(busy, now) != busy {
			t.Fatal("a subject in use gave way")
		}
		newSubject(all, fmt.Sprintf("mail:new-%d", i), now)
	}
	if n := all.len(); n != maxSubjects {
		t.Errorf("%d subjects", n)
	}
	if n := all.bytes.Load(); n != 0 {
		t.Errorf("%d bytes of a subject that gave way", n)
	}
	again := all.current(idle, now)
	if again == idle || again.user != idle.user || all.current(idle, now) != again {
		t.Error("a subject that gave way is not found again")
	}
	idle.learn(question{"use", "marketing", ""}, true, now) // of a review in flight
	if n := all.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are added to a subject that gave way", n)
	}
}

// TestNamespaceWithMostDecisionsPays has a namespace with many ServiceAccounts, each of which
// remembers less than one of another namespace does.
func TestNamespaceWithMostDecisionsPays(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	dispatcher := newSubject(all, "mail:dispatcher", now)
	learnMany(dispatcher, 0, 10_000, true, now)
	has := dispatcher.size.Load()
	for i := range 50 {
		hostile := newSubject(all, fmt.Sprintf("hostile:sender-%d", i), now)
		learnMany(hostile, 0, maxDenies, false, now)
		all.trim()
	}
	if dispatcher.size.Load() != has {
		t.Error("the callers of one namespace have another forget its rights")
	}
	if n := all.bytes.Load(); n > maxDecisionBytes {
		t.Errorf("%d bytes are remembered", n)
	}
}

// TestNamespaceWithMostSubjectsGivesWay has all ServiceAccounts of a large namespace call, while
// those of another do not.
func TestNamespaceWithMostSubjectsGivesWay(t *testing.T) {
	now := time.Now()
	all := newSubjects()
	idle := newSubject(all, "mail:idle", now)
	idle.learn(question{"use", "marketing", ""}, true, now)
	for i := range maxSubjects + 100 {
		now = now.Add(100 * time.Millisecond)
		newSubject(all, fmt.Sprintf("hostile:sender-%d", i), now)
	}
	if all.current(idle, now) != idle {
		t.Error("a subject of another namespace gave way")
	}
	if n := all.len(); n != maxSubjects {
		t.Errorf("%d subjects", n)
	}
}
