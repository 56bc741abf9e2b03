{{/* What is used of each window, and when there will be room. */}}

{{define "used" -}}
local upto = now
{{- range .Shorter}}
if {{if $.Always}}{{if ne .K 1}}true or {{end}}{{end}}limitc{{.K}} > 0 or limitm{{.K}} > 0 then
  {{template "slide" .}}
end
{{- end}}
{{- range .Windows}}
local usedc{{.K}} = (total - before{{.K}}) % {{.Modulus}}
local usedm{{.K}} = (mtotal - mbefore{{.K}}) % 4294967296
{{- end}}
{{- end}}

{{define "state" -}}
{{- range .Rows}}
local free{{.U}}{{.K}}S, free{{.U}}{{.K}}N = 0, 0
local excess{{.U}}{{.K}} = 0
if limit{{.U}}{{.K}} > 0 then
  excess{{.U}}{{.K}} = used{{.U}}{{.K}} - limit{{.U}}{{.K}} +
    {{- if eq .U "m"}} count + 1{{else}} cost + askCost{{end}}
end
{{- end}}
if hi - first4 >= {{.MaxStamps}} and (
  {{- range $i, $r := .Rows}}{{if $i}} or{{end}}
  excess{{.U}}{{.K}} > 0 and excess{{.U}}{{.K}} <= used{{.U}}{{.K}}{{end}}) then
  -- What the next stamp would make merge merges now, so that it moves no instant promised here.
  dirty = true
  {{template "merge" .}}
end
{{- range .Rows}}
if excess{{.U}}{{.K}} > 0 then
  {{template "freeAt" .}}
end
{{- end}}
-- Until when all of this holds, if nobody calls: then a stamp leaves, or a reservation is due.
local hold = math.huge
{{- range .Rows}}
if excess{{.U}}{{.K}} > 0 and first{{.K}} < hi then
  hold = math.min(hold, head{{.K}} + {{.Length}})
end
{{- end}}
if count > 0 then
  hold = math.min(hold, (dueS - s0) * 1e9 + dueN)
end
hold = math.min(hold, now + 86400e9)
local holdS = floor(hold / 1e9)
body = pack('{{.State}}', s0 + holdS, hold - holdS * 1e9, cost
  {{- range .Rows}}, used{{.U}}{{.K}}, free{{.U}}{{.K}}S, free{{.U}}{{.K}}N{{end}})
{{- end}}
