package kubeauth

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// The bounds of the cache. An entry has a fixed size, below 300 bytes: all of it is 10 MB.
const (
	tokenShards   = 16
	tokensInShard = 16384 / tokenShards // of those that are good, and of those that are refused
)

// tokenCache has the answers to TokenReviews. Good and refused tokens do not evict each other.
type tokenCache struct {
	key    [sha256.BlockSize]byte
	shards [tokenShards]tokenShard
}

type tokenShard struct {
	mu      sync.Mutex
	good    *simplelru.LRU[digest, *identity]
	refused *simplelru.LRU[digest, refused]
	_       [32]byte // shards do not share a cache line
}

// digest stands for a token. It is keyed: who reads our memory learns nothing from it.
type digest [sha256.Size]byte

// identity is who holds a token.
type identity struct {
	subject *subject
	expires time.Time // the token
	asked   time.Time // when the review began that said so
	refresh nextTry
}

// refused is why a token is no good.
type refused struct {
	problem *httpv1.Problem
	until   time.Time
}

// isFresh reports whether the identity may be used without a question.
func (i *identity) isFresh(now time.Time) bool {
	return now.Sub(i.asked) < tokenFor && now.Before(i.expires)
}

// isUsable reports whether the identity may be used while the API server is unavailable.
func (i *identity) isUsable(now time.Time) bool {
	return now.Sub(i.asked) < staleFor && now.Before(i.expires)
}

// isDue reports whether the identity should be refreshed, in the background.
func (i *identity) isDue(now time.Time) bool { return now.Sub(i.asked) >= tokenFor*3/4 }

func newTokenCache() *tokenCache {
	c := &tokenCache{}
	_, _ = rand.Read(c.key[:]) // it never fails
	for i := range c.shards {
		s := &c.shards[i]
		s.good = newLRU[digest, *identity](tokensInShard, nil)
		s.refused = newLRU[digest, refused](tokensInShard, nil)
	}
	return c
}

func newLRU[K comparable, V any](size int, evicted func(K, V)) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU(size, evicted)
	if err != nil {
		panic(err) // the size is not above 0
	}
	return lru
}

// digest computes the digest of a token of at most maxTokenBytes.
func (c *tokenCache) digest(token string) digest {
	var short [2048]byte
	text := append(short[:0], c.key[:]...)
	return sha256.Sum256(append(text, token...))
}

func (c *tokenCache) shard(d digest) *tokenShard { return &c.shards[d[0]%tokenShards] }

// get returns who holds a token, fresh or not, or why it is refused, or neither.
func (c *tokenCache) get(d digest, now time.Time) (*identity, *httpv1.Problem) {
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.good.Get(d); ok {
		return id, nil
	}
	if r, ok := s.refused.Get(d); ok {
		if now.Before(r.until) {
			return nil, r.problem
		}
		s.refused.Remove(d)
	}
	return nil, nil
}

// accept remembers who holds a token.
func (c *tokenCache) accept(d digest, id *identity) {
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused.Remove(d)
	s.good.Add(d, id)
}

// refuse remembers that a token is no good, for a short time.
func (c *tokenCache) refuse(d digest, p *httpv1.Problem, now time.Time) {
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good.Remove(d)
	s.refused.Add(d, refused{p, now.Add(refusedFor)})
}

// size returns how many tokens are remembered.
func (c *tokenCache) size() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.good.Len() + s.refused.Len()
		s.mu.Unlock()
	}
	return n
}

// nextTry says when an answer may be refreshed next, in nanoseconds since 1970. Zero is at once.
type nextTry struct{ at atomic.Int64 }

// claim reports whether the one who asks should refresh. Others will not for a while.
func (n *nextTry) claim(now time.Time) bool {
	at := n.at.Load()
	return now.UnixNano() >= at && n.at.CompareAndSwap(at, now.Add(retryAfter).UnixNano())
}
