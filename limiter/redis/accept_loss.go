package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/valkey-io/valkey-go"
)

// AcceptLoss has replicas that miss an epoch of the store, as their [LostError] says, go on with
// what the store has now: it gets a new epoch. To accept the same loss again changes nothing. It is
// an error if the store is not empty and no replica misses the epoch.
//
// It brings nothing back: what was sent and got lost counts in no limit.
func AcceptLoss(ctx context.Context, client valkey.Client, prefix, epoch string) error {
	if epoch == "" {
		return errors.New("say which epoch was lost: it is in what the replicas log")
	}
	reply, err := client.Do(ctx, client.B().Eval().Script(acceptLoss).Numkeys(1).
		Key(epochsKey(prefix)).Arg(epoch, newEpoch()).Build().ToRetryable()).AsStrSlice()
	switch {
	case err != nil:
		return err
	case len(reply) == 0: // it is accepted
		return nil
	case len(reply) == 1:
		return fmt.Errorf("nothing was accepted: no replica has lost the epoch %s, nor any other; "+
			"the store's is %s", epoch, reply[0])
	}
	return fmt.Errorf("nothing was accepted: the epoch that was lost is %s, not %s",
		strings.Join(reply[1:], " or "), epoch)
}

// acceptLoss answers nothing if it has accepted the loss, or else the store's epoch and then those
// that are missed. A replica that goes by the epoch of now follows, too.
const acceptLoss = `
local key, epoch, new = KEYS[1], ARGV[1], ARGV[2]
if redis.call('HGET', key, 'was:' .. epoch) then
  return {}
end
local id = redis.call('HGET', key, 'id')
local answer = {id or ''}
if not redis.call('HGET', key, 'lost:' .. epoch) then
  local all = redis.call('HGETALL', key)
  for n = 1, #all, 2 do
    if all[n]:sub(1, 5) == 'lost:' then
      answer[#answer + 1] = all[n]:sub(6)
    end
  end
  if id or answer[2] then
    return answer
  end
end
if id then
  redis.call('HSET', key, 'was:' .. id, 1)
end
redis.call('HSET', key, 'id', new, 'was:' .. epoch, 1)
redis.call('HDEL', key, 'lost:' .. epoch)
return {}`
