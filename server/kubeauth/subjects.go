package kubeauth

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// The bounds of what is remembered of rights.
const (
	maxSubjects      = 4096
	maxDecisionBytes = 32 << 20 // of all subjects
	maxAllows        = 16384    // of one
	maxDenies        = 4096     // of one
)

// The bounds of what one subject may have reviewed. Rights by name to 10,000 accounts are renewed
// with 33 reviews a second, and are all known a minute and a half after a start. Batches that wait
// hold memory that is shared with other callers: up to 2 MiB each.
const (
	rightsPerSecond = 100
	rightsBurst     = 1000
	rightsOfOne     = 4
	rightsInFlight  = 32
	batchesOfOne    = 16
)

// subject is a ServiceAccount that calls, with what is known of its rights. All pods and tokens of
// it have the same. It is a Caller.
type subject struct {
	key       string
	user, uid string
	groups    []string
	namespace *namespace

	flights singleflight.Group
	rate    *rate.Limiter
	share   share
	batches atomic.Int32 // that wait for reviews

	used atomic.Int64 // when it was last asked about, in seconds since 1970
	size atomic.Int64 // of its decisions, in bytes
	decisions
}

// User is the name of the ServiceAccount: system:serviceaccount:<namespace>:<name>.
func (s *subject) User() string { return s.user }

// home returns the namespace of the ServiceAccount.
func (s *subject) home() string {
	home, _, _ := strings.Cut(strings.TrimPrefix(s.user, serviceAccountPrefix), ":")
	return home
}

// namespace is one that has subjects.
type namespace struct {
	subjects int          // how many
	bytes    atomic.Int64 // of their decisions
}

// subjects are those that called lately.
type subjects struct {
	bytes atomic.Int64 // of the decisions of all

	mu         sync.Mutex
	byKey      map[string]*subject
	namespaces map[string]*namespace
}

func newSubjects() *subjects {
	return &subjects{byKey: map[string]*subject{}, namespaces: map[string]*namespace{}}
}

// of returns the subject of a user. What differs between its tokens does not matter.
func (t *subjects) of(user *authenticationv1.UserInfo, now time.Time) *subject {
	groups := slices.Sorted(slices.Values(user.Groups))
	key := strings.Join(append([]string{user.Username, user.UID}, groups...), "\x00")
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byKey[key]; s != nil {
		return s
	}
	s := &subject{key: key, user: user.Username, uid: user.UID, groups: groups}
	t.add(s, now)
	return s
}

// add adds a subject, in place of another one if there are too many. The caller holds mu.
func (t *subjects) add(s *subject, now time.Time) {
	if len(t.byKey) >= maxSubjects {
		t.remove(t.idlest(now))
	}
	if s.namespace = t.namespaces[s.home()]; s.namespace == nil {
		s.namespace = &namespace{}
		t.namespaces[s.home()] = s.namespace
	}
	s.namespace.subjects++
	s.rate = rate.NewLimiter(rightsPerSecond, rightsBurst)
	s.share.init(rightsOfOne, rightsBurst)
	s.used.Store(now.Unix())
	s.init(s, &t.bytes)
	t.byKey[s.key] = s
}

// idlest returns the subject that gives way to another: the one that was not used for longest, if
// nothing that it knows can be used any more. Otherwise it is one of the namespace that has most,
// so that nobody pushes out others by making ServiceAccounts. The caller holds mu.
func (t *subjects) idlest(now time.Time) *subject {
	var ofAll, ofMost *subject
	for _, s := range t.byKey {
		if ofAll == nil || s.used.Load() < ofAll.used.Load() {
			ofAll = s
		}
		if ofMost == nil || s.namespace.subjects > ofMost.namespace.subjects ||
			s.namespace.subjects == ofMost.namespace.subjects &&
				s.used.Load() < ofMost.used.Load() {
			ofMost = s
		}
	}
	if ofAll.used.Load() < now.Add(-staleFor).Unix() {
		return ofAll
	}
	return ofMost
}

// remove removes a subject. The caller holds mu.
func (t *subjects) remove(s *subject) {
	delete(t.byKey, s.key)
	if s.namespace.subjects--; s.namespace.subjects == 0 {
		delete(t.namespaces, s.home())
	}
	s.forget(true)
}

// current returns what is known of a subject now: the subject itself, unless it gave way to another
// since its token was reviewed.
func (t *subjects) current(s *subject, now time.Time) *subject {
	if !s.gone.Load() {
		if at := now.Unix(); s.used.Load() != at {
			s.used.Store(at)
		}
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.byKey[s.key]; other != nil {
		return other
	}
	again := &subject{key: s.key, user: s.user, uid: s.uid, groups: s.groups}
	t.add(again, now)
	return again
}

// trim makes subjects forget their decisions, while there are too many: of the namespace whose
// subjects have most, the one that has most.
func (t *subjects) trim() {
	if t.bytes.Load() <= maxDecisionBytes {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.bytes.Load() > maxDecisionBytes {
		var most *namespace
		for _, n := range t.namespaces {
			if most == nil || n.bytes.Load() > most.bytes.Load() {
				most = n
			}
		}
		var pays *subject
		for _, s := range t.byKey {
			if s.namespace == most && (pays == nil || s.size.Load() > pays.size.Load()) {
				pays = s
			}
		}
		if pays == nil || pays.size.Load() == 0 {
			return
		}
		pays.forget(false)
	}
}

// len returns how many subjects there are.
func (t *subjects) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}
