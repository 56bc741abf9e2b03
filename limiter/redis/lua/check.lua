{{template "open" .}}
local _, _, askCost, ttlS, ttlN, perAccount, allowance = read('>I4I4I4I4I4I4I4', ARGV[3])
{{template "policy" .}}
{{template "expire" .}}
local status, body = {{.Again}}, ''
local heldAt, held -- its entry in the sorted set, of a new reservation
if not again then
  {{template "find" .}}
  if suspended == 1 then
    status = {{.Suspended}}
  elseif was and was ~= {{.Outstanding}} then
    status = {{.Ended}}
  elseif was and wasCost ~= askCost then
    status = {{.OtherCost}}
  else
    {{template "used" .}}
    local moreCost, moreCount = askCost, 1
    if was then
      moreCost, moreCount = 0, 0
    end
    local least = math.huge
{{- range .Rows}}
    if limit{{.U}}{{.K}} > 0 then
      least = math.min(least, limit{{.U}}{{.K}} - used{{.U}}{{.K}} -
        {{- if eq .U "m"}} count - moreCount{{else}} cost - moreCost{{end}})
    end
{{- end}}
    if was then
      status = {{.Allowed}}
    elseif least >= 0 then
      if count >= perAccount then
        status = {{.AccountOverloaded}}
      elseif count >= allowance then
        status = {{.Overloaded}}
      else
        status = {{.Allowed}}
        {{template "create" .}}
        wasS, wasN = nowS + ttlS, nowN + ttlN
        if wasN >= 1e9 then
          wasS, wasN = wasS + 1, wasN - 1e9
        end
        if count == 0 or wasS < dueS or wasS == dueS and wasN < dueN then
          dueS, dueN = wasS, wasN
        end
        count, cost, seq, dirty = count + 1, cost + askCost, seq + 1, true
        field, changed = id, pack('>I1I4I4I4I4', {{.Outstanding}}, askCost, wasS, wasN, 0)
        heldAt, held = decimal('%d', wasS), pack('>I4', wasN) .. id
        if ttlS > 3600 then
          longer = ttlS
        end
      end
    elseif{{range $i, $r := .CostRows}}{{if $i}} or{{end}}
      limitc{{.K}} > 0 and askCost > limitc{{.K}}{{end}} then
      status = {{.ExceedsLimit}}
    else
      status = {{.Denied}}
    end
    if status == {{.Allowed}} then
      local limited = 1
      if least == math.huge then
        least, limited = 0, 0
      end
      body = pack('>I1I8I4I4', limited, math.max(0, least), wasS, wasN)
    elseif status == {{.Denied}} then
      {{template "state" .}}
    end
  end
end
if dirty and status ~= {{.Allowed}} then
  {{template "create" .}}
end
if longer > 0 then
  refreshed = nowS - 3600
end
{{template "save" .}}
if held then
  call('ZADD', O, heldAt, held, decimal('%d', seq - 1099511627776), id)
end
return {{template "reply" .}} .. body .. newer
