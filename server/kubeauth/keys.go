package kubeauth

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-logr/logr"
)

// When the keys are fetched.
const (
	fetchEach      = 5 * time.Minute
	fetchAgain     = 10 * time.Second // after a failure
	fetchAtMost    = 5 * time.Second  // between two, when tokens name keys that are not known
	fetchFor       = 5 * time.Second  // the longest that one takes
	waitForKeys    = 2 * time.Second
	maxKeyWaiters  = 256
	maxVerifyQueue = 1024
)

// verdict says what the keys of the cluster say about the signature of a token.
type verdict int

const (
	unverifiable verdict = iota // its key is not known, or its algorithm is not
	genuine
	forged
)

// algorithms are those of the keys that Kubernetes signs with.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512,
}

// keys are the public keys that the API server publishes. They tell forged tokens from real ones,
// so that no forged token costs a review; that a token is still good only a review tells.
type keys struct {
	fetch     func(context.Context) ([]byte, error)
	clock     func() time.Time
	log       logr.Logger
	verifying share // few at a time: a flood of forgeries must not take all of the CPU

	mu       sync.Mutex
	byID     map[string]*jose.JSONWebKey
	fetched  time.Time     // when the last fetch began
	failing  bool          // the last one failed, and the log says so
	fetching chan struct{} // is closed when the fetch in flight ends
	waiters  int
}

func newKeys(
	fetch func(context.Context) ([]byte, error), clock func() time.Time, log logr.Logger,
) *keys {
	k := &keys{fetch: fetch, clock: clock, log: log}
	k.verifying.init(int64(max(1, runtime.GOMAXPROCS(0)/2)), maxVerifyQueue)
	return k
}

// verify looks at the signature of a token.
func (k *keys) verify(ctx context.Context, token string) (verdict, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if _, other := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); other {
		return unverifiable, nil
	}
	if err != nil {
		return forged, nil
	}
	key := k.find(ctx, jws.Signatures[0].Protected.KeyID)
	if key == nil {
		return unverifiable, nil
	}
	if err := k.verifying.acquire(ctx); err != nil {
		return unverifiable, err
	}
	defer k.verifying.slots.Release(1)
	if _, err := jws.Verify(key); err != nil {
		return forged, nil
	}
	return genuine, nil
}

// find returns a key. If it is not known, the keys are fetched first, unless they just were.
func (k *keys) find(ctx context.Context, id string) *jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.byID[id]; key != nil || id == "" {
		return key
	}
	pause := fetchAtMost
	if k.failing {
		pause = probeEvery
	}
	if k.fetching == nil && (k.fetched.IsZero() || k.clock().Sub(k.fetched) >= pause) {
		k.startFetch()
	}
	if k.fetching == nil || k.waiters >= maxKeyWaiters {
		return nil
	}
	done := k.fetching
	k.waiters++
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, waitForKeys)
	select {
	case <-done:
	case <-ctx.Done():
	}
	cancel()
	k.mu.Lock()
	k.waiters--
	return k.byID[id]
}

// startFetch fetches the keys in the background. The caller holds mu.
func (k *keys) startFetch() {
	done := make(chan struct{})
	k.fetching, k.fetched = done, k.clock()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchFor)
		defer cancel()
		byID, err := k.read(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		if err == nil {
			k.byID = byID
		}
		k.tell(err)
		k.fetching = nil
		close(done)
	}()
}

// tell logs when fetches begin to fail. The caller holds mu.
func (k *keys) tell(err error) {
	if err != nil && !k.failing {
		k.log.Error(err, "the keys that tokens are signed with cannot be read; "+
			"tokens that are new are reviewed at a low rate while there are none",
			"path", keysPath, "keys", len(k.byID))
	}
	if err == nil && k.failing {
		k.log.Info("the keys that tokens are signed with can be read again", "keys", len(k.byID))
	}
	k.failing = err != nil
}

// read fetches the keys. It leaves out those that it does not understand.
func (k *keys) read(ctx context.Context) (map[string]*jose.JSONWebKey, error) {
	text, err := k.fetch(ctx)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	byID := make(map[string]*jose.JSONWebKey, len(set.Keys))
	for _, one := range set.Keys {
		key := &jose.JSONWebKey{}
		if key.UnmarshalJSON(one) == nil && key.KeyID != "" && key.IsPublic() && key.Valid() {
			byID[key.KeyID] = key
		}
	}
	return byID, nil
}

// keepFetching fetches the keys now and every few minutes, until the context ends.
func (k *keys) keepFetching(ctx context.Context) {
	for {
		k.mu.Lock()
		if k.fetching == nil {
			k.startFetch()
		}
		done := k.fetching
		k.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
		k.mu.Lock()
		pause := fetchEach
		if k.failing {
			pause = fetchAgain
		}
		k.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// size returns how many keys there are.
func (k *keys) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.byID)
}
