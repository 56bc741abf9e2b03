{{template "open" .}}
local entries = 0
if not fresh then
  {{template "expire" .}}
  if again then
    local status = {{.Again}}
    {{template "save" .}}
    return {{template "reply" .}} .. pack('>I4', 0)
  end
  entries = hi - first4 + count
end
-- What stays is a tombstone: a replica that is slow must not bring the account back.
call('UNLINK', A, I, O, E)
version = version % 4294967295 + 1
local header = pack('>I1I4I4', {{.Purged}}, life, version)
call('HSET', A, 'h', header .. ('\0'):rep({{.HeaderSize}} - 9))
call('EXPIRE', A, {{.KeepFor}})
return pack('{{.Reply}}', {{.IsPurged}}, life, version, 0, readS, readN, nowS, nowN) ..
  pack('>I4', entries)
