{{template "open" .}}
local askCost = 1
local suspended{{range .Rows}}, limit{{.U}}{{.K}}{{end}} = read('{{.Policy}}', ARGV[4])
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
return {{template "reply" .}} .. body
