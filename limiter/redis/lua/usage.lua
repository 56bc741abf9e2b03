{{template "open" .}}
local askCost = 1
{{template "policy" .}}
{{template "expire" .}}
local status, body = {{.Again}}, ''
if not again then
  status = {{.Usage}}
  {{template "used" .}}
  {{template "state" .}}
end
if dirty then
  {{template "create" .}}
end
{{template "save" .}}
return {{template "reply" .}} .. body .. newer
