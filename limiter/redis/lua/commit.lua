{{template "open" .}}
local _, _, askCost, anew = read('>I4I4I4I4', ARGV[3])
{{template "create" .}}
{{template "expire" .}}
local status, body, counted = {{.Again}}, '', nil
if not again then
  {{template "find" .}}
  {{template "oldest" .}}
  local aC, dC = askCost, nil
  if aC == 0 then
    aC = was and wasCost or 1
  end
  counted = aC
  if was == {{.Committed}} then
    status = {{.IsCommitted}}
  elseif was == {{.Late}} then
    status = {{.IsLate}}
  elseif was == {{.Unreserved}} then
    status = {{.IsUnreserved}}
  else
    if was == {{.Expired}} then
      status, dC = {{.IsLate}}, wasCost
      field, changed = id, pack('>I1I4I4I4I4', {{.Late}}, wasCost, wasS, wasN, wasEnd)
      local dR = (wasS - s0) * 1e9 + wasN
      {{template "subtract" .}}
    end
    local aS, aN, aR = nowS, nowN, now
    {{template "append" .}}
    dirty = true
    if was == {{.Outstanding}} then
      status = {{.IsCommitted}}
      {{template "end" .}}
      {{template "remember" .}}
      field, changed = id, pack('>I1I4I4I4I4', {{.Committed}}, wasCost, nowS, nowN, ends)
    elseif was == {{.Released}} then
      status = {{.IsUnreserved}}
      field, changed = id, pack('>I1I4I4I4I4', {{.Unreserved}}, wasCost, wasS, wasN, wasEnd)
    elseif not was then
      status = {{.IsUnreserved}}
      if id ~= '' then
        {{template "remember" .}}
        field, changed = id, pack('>I1I4I4I4I4', {{.Unreserved}}, aC, nowS, nowN, ends)
      end
    end
    local opState = was and {{.Committed}} or {{.Unreserved}}
    {{template "rememberCall" .}}
  end
end
if dirty and cap > 8 and nowS - refreshed >= 3600 and hi - first4 < cap / 4 then
  local size = math.max({{.MinStamps}}, 2 * (hi - first4))
  {{template "resize" .}}
end
{{template "save" .}}
if counted then
  body = body .. pack('>I4', counted)
end
return {{template "reply" .}} .. body
