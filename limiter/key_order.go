package limiter

import (
	"cmp"
	"slices"
)

// chunkSize is the largest number of accounts in one chunk of a keyOrder.
const chunkSize = 512

// keyOrder is the accounts in the order of their keys, so that a page of a list costs what it
// holds. It is a sorted list in sorted chunks: a lookup is two binary searches, and an insertion
// moves no more than one chunk. The zero value is empty. It does no locking.
type keyOrder struct{ chunks [][]*account }

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name))
}

// search returns the place of the first account whose key is k or comes after it. It may be the end
// of the last chunk.
func (o *keyOrder) search(k Key) (chunk, place int) {
	chunk, _ = slices.BinarySearchFunc(o.chunks, k, func(c []*account, k Key) int {
		return c[len(c)-1].key.compare(k)
	})
	if chunk == len(o.chunks) {
		if chunk == 0 {
			return 0, 0
		}
		return chunk - 1, len(o.chunks[chunk-1])
	}
	place, _ = slices.BinarySearchFunc(o.chunks[chunk], k, func(a *account, k Key) int {
		return a.key.compare(k)
	})
	return chunk, place
}

// insert adds an account whose key is not there.
func (o *keyOrder) insert(a *account) {
	if len(o.chunks) == 0 {
		o.chunks = [][]*account{{a}}
		return
	}
	c, place := o.search(a.key)
	if chunk := o.chunks[c]; len(chunk) == chunkSize {
		half := chunkSize / 2
		if c == len(o.chunks)-1 && place == chunkSize {
			half = chunkSize // keys that come in order fill the chunks
		}
		o.chunks = slices.Insert(o.chunks, c+1, slices.Clone(chunk[half:]))
		clear(chunk[half:])
		o.chunks[c] = chunk[:half]
		if place >= half {
			c, place = c+1, place-half
		}
	}
	o.chunks[c] = slices.Insert(o.chunks[c], place, a)
}

// remove takes out the account with this key, which must be there.
func (o *keyOrder) remove(k Key) {
	c, place := o.search(k)
	chunk := slices.Delete(o.chunks[c], place, place+1)
	o.chunks[c] = chunk
	switch {
	case len(chunk) == 0:
		o.chunks = slices.Delete(o.chunks, c, c+1)
	case c > 0 && len(o.chunks[c-1])+len(chunk) <= chunkSize/2:
		o.chunks[c-1] = append(o.chunks[c-1], chunk...)
		o.chunks = slices.Delete(o.chunks, c, c+1)
	}
}

// after returns the first n keys that come after a key, of a namespace, or of all if that is empty.
func (o *keyOrder) after(namespace string, after Key, n int) []Key {
	// The zero key comes before all keys.
	if first := (Key{Namespace: namespace}); after.compare(first) < 0 {
		after = first
	}
	var keys []Key
	c, place := o.search(after)
	for ; c < len(o.chunks); c, place = c+1, 0 {
		for _, a := range o.chunks[c][place:] {
			switch {
			case len(keys) == n, namespace != "" && a.key.Namespace != namespace:
				return keys
			case a.key != after:
				keys = append(keys, a.key)
			}
		}
	}
	return keys
}
