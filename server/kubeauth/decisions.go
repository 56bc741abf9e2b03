package kubeauth

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sluice-mail/sluice/limiter"
)

// decisionBytes is what a decision takes, but for its texts: a question twice, an answer, and the
// overhead of a map and a list.
const decisionBytes = 320

// question is a right: to an account, to all of a namespace, or to all.
type question struct{ verb, namespace, name string }

func about(verb string, account limiter.Key) question {
	return question{verb, account.Namespace, account.Name}
}

// wide is the question about all accounts of the namespace.
func (q question) wide() question { return question{q.verb, q.namespace, ""} }

func (q question) String() string {
	return strings.Join([]string{q.verb, q.namespace, q.name}, "\x00")
}

func (q question) bytes() int64 {
	return int64(decisionBytes + len(q.namespace) + len(q.name))
}

// allow is a right that a subject has.
type allow struct {
	asked   time.Time
	refresh nextTry
}

func (a *allow) isFresh(now time.Time) bool { return now.Sub(a.asked) < allowFor }

func (a *allow) isUsable(now time.Time) bool { return now.Sub(a.asked) < staleFor }

func (a *allow) isDue(now time.Time) bool { return now.Sub(a.asked) >= allowFor*3/4 }

// decisions are what is known of the rights of a subject.
type decisions struct {
	gone  atomic.Bool   // another subject is in its place; nothing is added any more
	total *atomic.Int64 // the bytes of all subjects

	mu     sync.Mutex
	allows *simplelru.LRU[question, *allow]
	denies *simplelru.LRU[question, time.Time] // when they were asked
}

func (d *decisions) init(s *subject, total *atomic.Int64) {
	d.total = total
	d.allows = newLRU(maxAllows, func(q question, _ *allow) { s.grow(-q.bytes()) })
	d.denies = newLRU(maxDenies, func(q question, _ time.Time) { s.grow(-q.bytes()) })
}

func (s *subject) grow(bytes int64) {
	s.size.Add(bytes)
	s.namespace.bytes.Add(bytes)
	s.total.Add(bytes)
}

// known is what is known about a question, and about all accounts of its namespace.
type known struct {
	allow      *allow   // is there, but maybe not fresh
	allowed    question // what the allow answers
	denied     bool
	wideDenied bool
}

// known looks a question up. It prefers a fresh allow to any other answer.
func (s *subject) known(q question, now time.Time) (k known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wide := q.wide()
	if a, ok := s.allows.Get(wide); ok {
		k.allow, k.allowed = a, wide
		if a.isFresh(now) {
			return k
		}
	}
	if q.name != "" {
		if a, ok := s.allows.Get(q); ok && (k.allow == nil || a.asked.After(k.allow.asked)) {
			k.allow, k.allowed = a, q
			if a.isFresh(now) {
				return k
			}
		}
	}
	k.wideDenied = s.wasDenied(wide, now)
	k.denied = k.wideDenied
	if q.name != "" {
		k.denied = s.wasDenied(q, now)
	}
	return k
}

// mayHave reports whether there is still an allow that may be used while the API server is
// unavailable: it may have said no to one before it went away.
func (s *subject) mayHave(q question, now time.Time) bool {
	k := s.known(q, now)
	return k.allow != nil && k.allow.isUsable(now)
}

// wasDenied reports whether the answer to one question was no, lately. The caller holds mu.
func (s *subject) wasDenied(q question, now time.Time) bool {
	asked, ok := s.denies.Get(q)
	return ok && now.Sub(asked) < denyFor
}

// learn remembers an answer.
func (s *subject) learn(q question, allowed bool, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return
	}
	// The texts may be of a large request.
	q.namespace, q.name = strings.Clone(q.namespace), strings.Clone(q.name)
	if s.allows.Remove(q); !allowed {
		if !s.denies.Contains(q) {
			s.grow(q.bytes())
		}
		s.denies.Add(q, asked)
		return
	}
	s.denies.Remove(q)
	s.grow(q.bytes())
	s.allows.Add(q, &allow{asked: asked})
}

// forget drops all decisions: for good, if another subject takes the place of this one.
func (s *subject) forget(forGood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if forGood {
		s.gone.Store(true)
	}
	s.allows.Purge()
	s.denies.Purge()
}

// justLearned returns the answer to one question, if it is known and need not be refreshed.
func (s *subject) justLearned(q question, now time.Time) (allowed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.allows.Get(q); ok && !a.isDue(now) {
		return true, true
	}
	return false, s.wasDenied(q, now)
}
