{{/* Reservations. The record of an id is a field of the account's hash: how it stands, its cost,
and when: the deadline of one that is outstanding, expired or late, else when it ended; then its
number in the order of ends, or 0. The outstanding ones are in a sorted set twice: by deadline
(score: the seconds; member: nanoseconds and id), and by age (score: the number of its check, below
0; member: id). Calls without an id are there as well (score: the seconds, and a large number). */}}

{{define "expire" -}}
-- Makes sends, at their deadlines, of reservations that are due: a bounded number of them. If there
-- are more the account stays at the deadline of the last, and the caller calls again.
local again, longer, field, changed, op, opChanged = false, 0, nil, nil, nil, nil
if count > 0 and (dueS - s0) * 1e9 + dueN <= now then
  local due = call('ZRANGEBYSCORE', O, 0, s0, 'WITHSCORES', 'LIMIT', 0, {{.MaxExpire}} + 1)
  local members, ids, at, n = {}, {}, {}, 0
  for k = 1, #due, 2 do
    local s, ns = tonumber(due[k + 1]), read('>I4', due[k])
    if (s - s0) * 1e9 + ns > now then
      break
    end
    if n == {{.MaxExpire}} then
      again = true
      break
    end
    n = n + 1
    ids[n], at[n] = due[k]:sub(5), {s, ns}
    members[2 * n - 1], members[2 * n] = due[k], ids[n]
  end
  if n > 0 then
    local records, puts, entries = call('HMGET', A, unpack(ids)), {}, {}
    for k = 1, n do
      local _, aC = read('>I1I4', records[k])
      local aS, aN = at[k][1], at[k][2]
      local aR = (aS - s0) * 1e9 + aN
      {{template "append" .}}
      count, cost = count - 1, cost - aC
      puts[2 * k - 1], puts[2 * k] = ids[k],
        pack('>I1I4I4I4I4', {{.Expired}}, aC, aS, aN, (ends + k) % 4294967296)
      entries[k] = pack('>I4I4I4', aS, aN, (ends + k) % 4294967296) .. ids[k]
    end
    call('HSET', A, unpack(puts))
    call('ZREM', O, unpack(members))
    call('RPUSH', E, unpack(entries))
    ends = (ends + n) % 4294967296
    {{template "forget" .}}
    if again then
      nowS, nowN = at[n][1], at[n][2]
    elseif record then
      record = call('HGET', A, id)
    end
  end
  dirty = true
  if count > 0 then
    local first = call('ZRANGEBYSCORE', O, 0, '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    dueS, dueN = tonumber(first[2]), read('>I4', first[1])
  end
end
if not again then
  local upto = now
  {{template "slideDay" .}}
end
{{- end}}

{{define "find" -}}
-- What is known of the id: its state, or nil. What ended 15 minutes ago is forgotten.
-- So is what ended before as many others as are remembered.
local was, wasCost, wasS, wasN, wasEnd
if record then
  was, wasCost, wasS, wasN, wasEnd = read('>I1I4I4I4I4', record)
  if was ~= {{.Outstanding}} and ((wasS - s0) * 1e9 + wasN + {{.RememberFor}} <= now or
    (ends - wasEnd) % 4294967296 >= {{.MaxRemembered}}) then
    was = nil
  end
end
{{- end}}

{{define "oldest" -}}
-- No id means the oldest outstanding one. The call has a name instead, under which what it came to
-- is remembered like an id: its answer may get lost, and then it comes again. The answer has the id
-- that was meant. A call that is told anew, and found none, finds none again.
if not was and #id == 17 then
  op, id = id, ''
  if count > 0 and anew == 0 then
    id = call('ZRANGE', O, 0, 0)[1]
    body = id
    was, wasCost, wasS, wasN, wasEnd = read('>I1I4I4I4I4', call('HGET', A, id))
  end
end
{{- end}}

{{define "end" -}}
-- Ends the outstanding reservation of the id.
count, cost = count - 1, cost - wasCost
call('ZREM', O, pack('>I4', wasN) .. id, id)
{{- end}}

{{define "remember" -}}
-- Remembers that the id ended now: the caller writes its record with the number ends.
ends = (ends + 1) % 4294967296
call('RPUSH', E, pack('>I4I4I4', nowS, nowN, ends) .. id)
{{template "forget" .}}
{{- end}}

{{define "rememberCall" -}}
-- Remembers the name of a call without an id, and now and then forgets those that cannot come again.
-- They are in the sorted set behind all deadlines, so that they take no room from the ended ids.
if op then
  opChanged = pack('>I1I4I4I4I4', opState, 0, nowS, nowN, ends)
  call('ZADD', O, decimal('%d', {{.Names}} + nowS), op)
  if op:byte(2) < 8 then
    local old = call('ZRANGEBYSCORE', O, '{{.Names}}',
      decimal('%d', {{.Names}} + nowS - {{.RememberCalls}}), 'LIMIT', 0, 256)
    if #old == 0 then
      local over = call('ZCOUNT', O, '{{.Names}}', '(+inf') - {{.MaxRemembered}}
      if over > 0 then
        old = call('ZRANGEBYSCORE', O, '{{.Names}}', '(+inf', 'LIMIT', 0, math.min(over, 256))
      end
    end
    if #old > 0 then
      call('HDEL', A, unpack(old))
      call('ZREM', O, unpack(old))
    end
  end
end
{{- end}}

{{define "forget" -}}
-- Forgets the oldest of the ended ids, every now and then, and more than have ended since. An id
-- that has ended again is in the list once more, and its record is of that end.
local over = (ends - endedFrom) % 4294967296 - {{.MaxRemembered}}
if over >= {{.Forgetting}} or ends % {{.Forgetting}} == 0 and
  (endedS - s0) * 1e9 + endedN + {{.RememberFor}} <= now then
  local oldest = call('LRANGE', E, 0, math.max(over, 2 * {{.Forgetting}}))
  local gone, n = {}, 0
  for k = 1, #oldest do
    endedS, endedN, endedFrom = read('>I4I4I4', oldest[k])
    if k == #oldest or
      (ends - endedFrom) % 4294967296 < {{.MaxRemembered}} and
      (endedS - s0) * 1e9 + endedN + {{.RememberFor}} > now then
      break
    end
    n = k
    gone[k] = oldest[k]:sub(13)
  end
  if n > 0 then
    local records, drop = call('HMGET', A, unpack(gone)), {}
    for k = 1, n do
      if records[k] and records[k]:byte() ~= {{.Outstanding}} and
        records[k]:sub(6, 13) == oldest[k]:sub(1, 8) then
        drop[#drop + 1] = gone[k]
      end
    end
    if #drop > 0 then
      call('HDEL', A, unpack(drop))
    end
    call('LTRIM', E, n, -1)
  end
end
{{- end}}
