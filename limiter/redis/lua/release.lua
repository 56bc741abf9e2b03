{{template "open" .}}
{{template "expire" .}}
local status = {{.Again}}
if not again then
  {{template "oldest" .}}
  {{template "find" .}}
  if was == {{.Outstanding}} then
    status, dirty = {{.IsReleased}}, true
    {{template "end" .}}
    {{template "remember" .}}
    field, changed = id, pack('>I1I4I4I4I4', {{.Released}}, wasCost, nowS, nowN, ends)
  elseif was == {{.Released}} then
    status = {{.IsReleased}}
  elseif was then
    status = {{.Ended}}
  else
    status = {{.ReservationNotFound}}
  end
end
if dirty then
  {{template "create" .}}
end
{{template "save" .}}
return {{template "reply" .}}
