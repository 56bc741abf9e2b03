{{/* Holds a slot that was granted before the store lost it, whatever the limits are: it counts. */ -}}
{{template "open" .}}
local _, _, askCost, askS, askN = read('>I4I4I4I4I4', ARGV[3])
{{template "expire" .}}
local status, heldAt, held = {{.Again}}, nil, nil
if not again then
  {{template "find" .}}
  status = {{.Allowed}}
  if not was then
    {{template "create" .}}
    if askS < nowS or askS == nowS and askN < nowN then
      askS, askN = nowS, nowN -- it is due, and the next call makes a send of it
    end
    if count == 0 or askS < dueS or askS == dueS and askN < dueN then
      dueS, dueN = askS, askN
    end
    count, cost, seq, dirty = count + 1, cost + askCost, seq + 1, true
    field, changed = id, pack('>I1I4I4I4I4', {{.Outstanding}}, askCost, askS, askN, 0)
    heldAt, held = decimal('%d', askS), pack('>I4', askN) .. id
    longer = math.max(longer, askS - nowS)
  end
end
if dirty then
  {{template "create" .}}
end
if longer > 3600 then
  refreshed = nowS - 3600
else
  longer = 0
end
{{template "save" .}}
if held then
  call('ZADD', O, heldAt, held, decimal('%d', seq - 1099511627776), id)
end
return {{template "reply" .}}
