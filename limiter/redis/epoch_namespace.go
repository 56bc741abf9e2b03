package redis

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/valkey-io/valkey-go"
)

// of returns the epoch that the namespace's key must have, and has if no script says otherwise.
func (e *epochs) of(
	ctx context.Context, client valkey.Client, namespace string,
) (string, error) {
	s := e.current.Load()
	if _, right := s.namespaces.Load(namespace); right {
		return s.epoch, nil
	}
	if s.doubt != nil {
		return "", s.doubt
	}
	if err := e.enter(ctx, client, s.epoch, namespace); err != nil {
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			e.suspect(namespace)
		}
		return "", err
	}
	s.namespaces.Store(namespace, struct{}{})
	return s.epoch, nil
}

// suspect has settle check the namespace until its key is right, and of look anew.
func (e *epochs) suspect(namespace string) {
	e.current.Load().namespaces.Delete(namespace)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.suspects[namespace] = struct{}{}
}

// checkSuspects returns the error of the first namespace whose key is not right.
func (e *epochs) checkSuspects(ctx context.Context, client valkey.Client) (first error) {
	e.mu.Lock()
	suspects := slices.Sorted(maps.Keys(e.suspects))
	e.mu.Unlock()
	for _, namespace := range suspects {
		_, err := e.of(ctx, client, namespace)
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			e.miss(ctx, client, lost)
		}
		if err == nil {
			e.mu.Lock()
			delete(e.suspects, namespace)
			e.mu.Unlock()
		} else if first == nil {
			first = err
		}
	}
	return first
}

// enter makes the namespace's key be the epoch, unless it was before and is no longer. The key is
// set before the hash lists it, and the list is read before the key: so a crash between them, or
// another replica, never looks like a loss.
func (e *epochs) enter(
	ctx context.Context, client valkey.Client, epoch, namespace string,
) error {
	key := namespaceEpochKey(e.prefix, namespace)
	for range 3 {
		listed, _, err := e.listed(ctx, client, epoch, namespace, "")
		if err != nil {
			return err
		}
		found, err := client.Do(ctx, client.B().Get().Key(key).Build()).ToString()
		switch {
		case err != nil && !valkey.IsValkeyNil(err):
			return err
		case found == epoch && listed:
			return nil
		case found == epoch:
			return e.list(ctx, client, epoch, namespace)
		}
		now, accepted, err := e.listed(ctx, client, epoch, namespace, found)
		switch {
		case err != nil:
			return err
		case now && listed:
			return &LostError{Kept: epoch, Found: found, Namespace: namespace}
		case now: // another replica has entered it meanwhile
			continue
		case found != "" && !accepted: // the hash was lost, and this part of the store was not
			return &LostError{Kept: found, Found: epoch, Namespace: namespace}
		}
		set, err := runEpochScript(ctx, client, replaceEpoch, key, found, epoch)
		if err != nil {
			return err
		}
		if set {
			return e.list(ctx, client, epoch, namespace)
		}
	}
	return errUnsettled
}

// listed reports whether the hash says that the namespace was used in this epoch, and whether the
// loss of another epoch was accepted. It is an error if the store's epoch is another.
func (e *epochs) listed(
	ctx context.Context, client valkey.Client, epoch, namespace, other string,
) (used, accepted bool, err error) {
	fields, err := client.Do(ctx, client.B().Hmget().Key(epochsKey(e.prefix)).
		Field("id", "ns:"+namespace, "was:"+other).Build()).AsStrSlice()
	switch {
	case err != nil:
		return false, false, err
	case len(fields) != 3:
		return false, false, errNoAnswer
	case fields[0] != epoch:
		return false, false, errUnsettled
	}
	return fields[1] == epoch, fields[2] != "", nil
}

// list has the hash say that the namespace was used in this epoch.
func (e *epochs) list(
	ctx context.Context, client valkey.Client, epoch, namespace string,
) error {
	done, err := runEpochScript(ctx, client, listNamespace, epochsKey(e.prefix), epoch, namespace)
	if err == nil && !done {
		err = errUnsettled
	}
	return err
}

// runEpochScript runs a script that may be repeated, and returns whether it answers 1.
func runEpochScript(
	ctx context.Context, client valkey.Client, script, key string, args ...string,
) (bool, error) {
	n, err := client.Do(ctx, client.B().Eval().Script(script).Numkeys(1).Key(key).Arg(args...).
		Build().ToRetryable()).AsInt64()
	return n == 1, err
}

// The scripts change what is there only if it still is what was seen.
const (
	replaceEpoch = `
local found = redis.call('GET', KEYS[1]) or ''
if found == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
  found = ARGV[2]
end
return found == ARGV[2] and 1 or 0`
	listNamespace = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'ns:' .. ARGV[2], ARGV[1])
return 1`
)
