{{template "open" .}}
local _, _, anew = read('>I4I4I4', ARGV[3])
{{template "expire" .}}
local status, body = {{.Again}}, ''
if not again then
  {{template "find" .}}
  {{template "oldest" .}}
  if was == {{.Outstanding}} then
    status, dirty = {{.IsReleased}}, true
    {{template "end" .}}
    {{template "remember" .}}
    field, changed = id, pack('>I1I4I4I4I4', {{.Released}}, wasCost, nowS, nowN, ends)
    local opState = {{.Released}}
    {{template "rememberCall" .}}
  elseif was == {{.Released}} then
    status = {{.IsReleased}}
  elseif was then
    status = {{.Ended}}
  else
    status = {{.ReservationNotFound}}
    if anew == 1 and id ~= '' then
      -- Told anew, perhaps before another replica tells the check: that must find it released.
      dirty = true
      {{template "remember" .}}
      field, changed = id, pack('>I1I4I4I4I4', {{.Released}}, 1, nowS, nowN, ends)
    end
  end
end
if dirty then
  {{template "create" .}}
end
{{template "save" .}}
return {{template "reply" .}} .. body
