{{/* What all scripts begin and end with: one account, from its header and back into it. */}}

{{define "open" -}}
-- KEYS: account (hash), stamps (string), outstanding (sorted set), ended (list), the namespace's
-- epoch. ARGV: the time (8 bytes: that; 16 bytes: the server's, but not outside of these two; '':
-- the server's), the id (16 bytes; 17 are no id, but a name of this call), the verb's numbers, its
-- policy or '', the epoch that the namespace must be of or ''.
local A, I, O, E = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, pack, read, floor = redis.call, struct.pack, struct.unpack, math.floor
local decimal = string.format -- the server's own way to write a number is slower
local readS, readN
if #ARGV[1] ~= 8 then
  local t = call('TIME')
  readS, readN = tonumber(t[1]), t[2] * 1000
  if #ARGV[1] == 16 then
    local lowS, lowN, highS, highN = read('>I4I4I4I4', ARGV[1])
    if readS < lowS or readS == lowS and readN < lowN then
      readS, readN = lowS, lowN
    elseif readS > highS or readS == highS and readN > highN then
      readS, readN = highS, highN
    end
  end
else
  readS, readN = read('>I4I4', ARGV[1])
end
local id = ARGV[2]
local fields = call('HMGET', A, 'h', id)
local record = fields[2]
local fresh = not fields[1]
local state, life, version, refreshed, nowS, nowN, cap, hi, lastS, lastN, total, mtotal,
{{- range .Windows}}
  first{{.K}}, before{{.K}}, mbefore{{.K}}, head{{.K}}S, head{{.K}}N,
{{- end}}
  count, cost, seq, dueS, dueN, endedFrom, ends, endedS, endedN, generation =
  read('{{.Header}}', fields[1] or ('\0'):rep({{.HeaderSize}}))
local mine, known = read('>I4I4', ARGV[3])
if fresh and ARGV[5] ~= '' and call('GET', KEYS[5]) ~= ARGV[5] then
  return pack('{{.Reply}}', {{.Lost}}, 0, 0, 0, readS, readN, readS, readN)
end
if known ~= 0 and (fresh or version ~= known and (known - version) % 4294967296 < 2147483648) then
  -- The caller has seen a later version: what was written meanwhile is lost.
  return pack('{{.Reply}}', {{.Behind}}, life, version, 0, readS, readN, readS, readN)
end
if fresh then
  life = math.max(1, mine)
elseif state == {{.Purged}} then
  if mine <= life then
    {{template "fence"}}
    return pack('{{.Reply}}', {{.NotFound}}, life, version, 0, readS, readN, readS, readN)
  end
  life, fresh = mine, true
elseif state ~= {{.Live}} then
  return redis.error_reply('ERR the account was written by a newer version')
elseif mine ~= 0 and life > mine then
  {{template "fence"}}
  return pack('{{.Reply}}', {{.NotFound}}, life - 1, version, 0, readS, readN, readS, readN)
end
local dirty = false -- whether the header must be written
local policy -- one to be written
-- Within a call an instant is a number: nanoseconds since the second s0, which a double holds
-- exactly for 104 days around it. Time only goes forward.
local s0, now = nowS, nowN
if readS > nowS or readS == nowS and readN > nowN then
  s0, now = readS, readN
  dirty = #ARGV[1] == 8
end
nowS, nowN = s0, now
{{- range .Windows}}
local head{{.K}} = (head{{.K}}S - s0) * 1e9 + head{{.K}}N
{{- end}}
{{- end}}

{{define "create" -}}
-- No key is ever missing while the account is there: see docs/design/0020-redis-layout.md.
if fresh then
  cap = {{.MinStamps}}
  call('SET', I, ('\0'):rep(cap * {{.Stamp}}), 'EX', {{.KeepFor}})
  call('DEL', O, E)
  call('ZADD', O, '+inf', '')
  call('RPUSH', E, ('\0'):rep(28))
  call('EXPIRE', O, {{.KeepFor}})
  call('EXPIRE', E, {{.KeepFor}})
  endedFrom, endedS, endedN = 0, 0, 0
end
{{- end}}

{{define "policy" -}}
-- The policy that decides: the caller's, or a newer one that another replica has brought.
local newer = ''
local told, suspended, _, _{{range .Rows}}, limit{{.U}}{{.K}}{{end}} =
  read('{{.Policy}}', ARGV[4])
if told > generation then
  policy, generation, dirty = ARGV[4], told, true
elseif told > 0 and told < generation then
  newer = call('HGET', A, 'p')
  local _
  _, suspended, _, _{{range .Rows}}, limit{{.U}}{{.K}}{{end}} = read('{{.Policy}}', newer)
end
{{- end}}

{{define "save" -}}
{{- if not .Always}}
if not fresh and nowS - refreshed >= 3600 then
  dirty = true -- a denial is a use, too: the keys live on
end
{{- end}}
-- Writes the header, and with it the record of an id that changed, if field is set, and that of a
-- call without an id, if op is set.
if dirty then
  version = version % 4294967295 + 1 -- never 0
  local refresh = fresh or nowS - refreshed >= 3600
  if refresh then
    refreshed = nowS + longer
  end
  local header = pack('{{.Header}}', {{.Live}}, life, version, refreshed, nowS, nowN, cap, hi,
    lastS, lastN, total, mtotal,
{{- range .Windows}}
    first{{.K}}, before{{.K}}, mbefore{{.K}}, head{{.K}}S, head{{.K}}N,
{{- end}}
    count, cost, seq, dueS, dueN, endedFrom, ends, endedS, endedN, generation)
  if opChanged then
    call('HSET', A, op, opChanged)
  end
  if policy then
    call('HSET', A, 'p', policy)
  end
  if field then
    call('HSET', A, 'h', header, field, changed)
  else
    call('HSET', A, 'h', header)
  end
  if refresh then
    for k = 1, 4 do
      call('EXPIRE', KEYS[k], {{.KeepFor}} + longer)
    end
  end
else
  {{template "fence"}}
end
{{- end}}

{{define "fence" -}}
-- A write that changes nothing: a replica refuses it. What it knows may be old.
call('HDEL', A, '')
{{- end}}

{{define "reply" -}}
pack('{{.Reply}}', status, life, version, count, readS, readN, nowS, nowN)
{{- end}}
