{{/* The history: a ring of stamps in one string, each 20 bytes: when (seconds, nanoseconds), and
the running sums of cost and of messages. Places count up; the place of k in the ring is k % cap.
Sums are modulo 2^52 and 2^32. See limiter/memory/history.go and merging.go for the same in Go. */}}

{{define "slide" -}}
-- Moves the start of a window to where it is at the instant upto. A few steps, then a search.
if first{{.K}} < hi and head{{.K}} + {{.Length}} <= upto then
  local k, steps = first{{.K}}, 0
  repeat
    local p = k % cap * {{.Stamp}}
    local part = call('GETRANGE', I, p + 8, p + {{.Stamp}} + 7)
    k, steps = k + 1, steps + 1
    if k == hi then
      before{{.K}}, mbefore{{.K}} = read('>I8I4', part)
    else
      if #part < {{.Stamp}} then
        part = part .. call('GETRANGE', I, 0, 7)
      end
      before{{.K}}, mbefore{{.K}}, head{{.K}}S, head{{.K}}N = read('>I8I4I4I4', part)
      head{{.K}} = (head{{.K}}S - s0) * 1e9 + head{{.K}}N
    end
  until k == hi or head{{.K}} + {{.Length}} > upto or steps == 4
  if k < hi and head{{.K}} + {{.Length}} <= upto then
    local low, high = k + 1, hi
    while low < high do
      local middle = floor((low + high) / 2)
      local p = middle % cap * {{.Stamp}}
      local s, n = read('>I4I4', call('GETRANGE', I, p, p + 7))
      if (s - s0) * 1e9 + n + {{.Length}} <= upto then
        low = middle + 1
      else
        high = middle
      end
    end
    k = low
    local p = (k - 1) % cap * {{.Stamp}}
    before{{.K}}, mbefore{{.K}} = read('>I8I4', call('GETRANGE', I, p + 8, p + 19))
    if k < hi then
      p = k % cap * {{.Stamp}}
      head{{.K}}S, head{{.K}}N = read('>I4I4', call('GETRANGE', I, p, p + 7))
      head{{.K}} = (head{{.K}}S - s0) * 1e9 + head{{.K}}N
    end
  end
  first{{.K}} = k
end
{{- end}}

{{define "slideDay" -}}
-- What leaves the day leaves the history, and so all windows.
if first4 < hi and head4 + {{.Day.Length}} <= upto then
  {{template "slide" .Day}}
{{- range .Shorter}}
  if first{{.K}} < first4 then
    first{{.K}}, before{{.K}}, mbefore{{.K}} = first4, before4, mbefore4
    head{{.K}}S, head{{.K}}N, head{{.K}} = head4S, head4N, head4
  end
{{- end}}
end
{{- end}}

{{define "resize" -}}
-- Moves the stamps to a ring of another size, which must hold them.
do
  local n, p = hi - first4, first4 % cap
  local part = call('GETRANGE', I, p * {{.Stamp}}, math.min(p + n, cap) * {{.Stamp}} - 1)
  if n == 0 then
    part = ''
  elseif p + n > cap then
    part = part .. call('GETRANGE', I, 0, (p + n - cap) * {{.Stamp}} - 1)
  end
  call('SET', I, part .. ('\0'):rep((size - n) * {{.Stamp}}), 'KEEPTTL')
  cap, hi = size, n
{{- range .Shorter}}
  first{{.K}} = first{{.K}} - first4
{{- end}}
  first4 = 0
end
{{- end}}

{{define "append" -}}
-- Records a message of cost aC at the instant aR, which is aS and aN.
do
  -- Beyond 2^51 a day the sums stand still: far above any limit, and they must not wrap.
  local sum = (total - before4) % {{.Modulus}}
  total = (total + math.max(0, math.min(aC, 2251799813685248 - sum))) % {{.Modulus}}
  mtotal = (mtotal + 1) % 4294967296
  if hi > first4 and lastS == aS and lastN == aN then
    call('SETRANGE', I, (hi - 1) % cap * {{.Stamp}}, pack('>I4I4I8I4', aS, aN, total, mtotal))
  else
    if hi - first4 == cap then
      if cap < {{.MaxStamps}} then
        local size = math.min({{.MaxStamps}}, 2 * cap)
        {{template "resize" .}}
      else
        local upto = aR
        {{template "slideDay" .}}
        if hi - first4 == cap then
          {{template "merge" .}}
        end
      end
    end
    call('SETRANGE', I, decimal('%d', hi % cap * {{.Stamp}}), pack('>I4I4I8I4', aS, aN, total, mtotal))
{{- range .Windows}}
    if first{{.K}} == hi then
      head{{.K}}S, head{{.K}}N, head{{.K}} = aS, aN, aR
    end
{{- end}}
    hi, lastS, lastN = hi + 1, aS, aN
  end
end
{{- end}}

{{define "merge" -}}
-- Drops, of a full ring, each stamp whose successor lies in the same cell, as of the instant upto.
-- The day must have been slid.
do
{{- range .Shorter}}
  {{template "slide" .}}
{{- end}}
  local n, p = hi - first4, first4 % cap * {{.Stamp}}
  local ring = call('GETRANGE', I, 0, -1)
  ring = ring:sub(p + 1) .. ring:sub(1, p)
  local out, kept, ends = {}, 0, {}
  local bounds = {hi - first4, first1 - first4, first2 - first4, first3 - first4, 0}
  local cells = { {{- range .Windows}}{{.Cell}}, {{end -}} }
  local high, low = floor(s0 / 65536), s0 % 65536
  for class = 4, 1, -1 do
    local from, to, cell = bounds[class + 1], bounds[class], cells[class]
    if n - from <= {{.Resolution}} then
      out[#out + 1] = ring:sub(from * {{.Stamp}} + 1, to * {{.Stamp}})
      kept = kept + to - from
    else
      -- The second s0, modulo the cell: in two parts, as it is too large in nanoseconds.
      local offset = (high * 1e9 % cell * 65536 + low * 1e9) % cell
      local start, cellEnd, k, t = from, -math.huge, from, nil
      while k < to do
        if k + {{.Many}} <= to then
          local {{range $i, $j := .Block}}{{if $i}}, {{end}}as{{$j}}, an{{$j}}{{end}} =
            read('{{.ManyTimes}}', ring, k * {{.Stamp}} + 1)
          {{- range .Block}}
          t = (as{{.}} - s0) * 1e9 + an{{.}}
          if t >= cellEnd then
            cellEnd = t - (t + offset) % cell + cell
          else -- the stamp before it, k + {{.}} - 1, is dropped
            if k + {{.}} - 1 > start then
              out[#out + 1] = ring:sub(start * {{$.Stamp}} + 1, (k + {{.}} - 1) * {{$.Stamp}})
              kept = kept + k + {{.}} - 1 - start
            end
            start = k + {{.}}
          end
          {{- end}}
          k = k + {{.Many}}
        else
          local s, n = read('>I4I4', ring, k * {{.Stamp}} + 1)
          t = (s - s0) * 1e9 + n
          if t >= cellEnd then
            cellEnd = t - (t + offset) % cell + cell
          else
            if k - 1 > start then
              out[#out + 1] = ring:sub(start * {{.Stamp}} + 1, (k - 1) * {{.Stamp}})
              kept = kept + k - 1 - start
            end
            start = k
          end
          k = k + 1
        end
      end
      if start < to then
        out[#out + 1] = ring:sub(start * {{.Stamp}} + 1, to * {{.Stamp}})
        kept = kept + to - start
      end
    end
    ends[class] = kept
  end
  out[#out + 1] = ('\0'):rep((cap - kept) * {{.Stamp}})
  ring = table.concat(out)
  call('SET', I, ring, 'KEEPTTL')
  hi, first4 = kept, 0
  first1, first2, first3 = ends[2], ends[3], ends[4]
{{- range .Windows}}
  if first{{.K}} < hi then
    head{{.K}}S, head{{.K}}N = read('>I4I4', ring, first{{.K}} * {{.Stamp}} + 1)
    head{{.K}} = (head{{.K}}S - s0) * 1e9 + head{{.K}}N
  end
{{- end}}
end
{{- end}}

{{define "subtract" -}}
-- Takes back a message of cost dC that was recorded at the instant dR: from the sums of all stamps
-- since then.
do
  local low, high = first4, hi
  while low < high do
    local middle = floor((low + high) / 2)
    local p = middle % cap * {{.Stamp}}
    local s, n = read('>I4I4', call('GETRANGE', I, p, p + 7))
    if (s - s0) * 1e9 + n >= dR then
      high = middle
    else
      low = middle + 1
    end
  end
  local k = low
  while k < hi do
    local p = k % cap
    local n = math.min(hi - k, cap - p, 64)
    local part, out = call('GETRANGE', I, p * {{.Stamp}}, (p + n) * {{.Stamp}} - 1), {}
    for j = 0, n - 1 do
      local s, ns, sum, msum = read('>I4I4I8I4', part, j * {{.Stamp}} + 1)
      out[j + 1] = pack('>I4I4I8I4', s, ns, (sum - dC) % {{.Modulus}}, (msum - 1) % 4294967296)
    end
    call('SETRANGE', I, p * {{.Stamp}}, table.concat(out))
    k = k + n
  end
  total, mtotal = (total - dC) % {{.Modulus}}, (mtotal - 1) % 4294967296
{{- range .Windows}}
  if first{{.K}} > low then
    before{{.K}} = (before{{.K}} - dC) % {{.Modulus}}
    mbefore{{.K}} = (mbefore{{.K}} - 1) % 4294967296
  end
{{- end}}
end
{{- end}}

{{define "freeAt" -}}
-- When the excess will have left the window, into free{{.U}}{{.K}}S and N. It looks at the oldest
-- stamps first, as most excesses are small.
if excess{{.U}}{{.K}} > used{{.U}}{{.K}} then
  free{{.U}}{{.K}}S, free{{.U}}{{.K}}N = s0 + {{.Seconds}}, now
else
  local low, high, step, k = first{{.K}}, hi, 1, first{{.K}}
  while low < high do
    local p = k % cap * {{.Stamp}}
    local s, n, sum, msum = read('>I4I4I8I4', call('GETRANGE', I, p, p + {{.Stamp}} - 1))
    if {{if eq .U "m"}}(msum - mbefore{{.K}}) % 4294967296
      {{- else}}(sum - before{{.K}}) % {{.Modulus}}{{end}} >= excess{{.U}}{{.K}} then
      high, step = k, 0
      free{{.U}}{{.K}}S, free{{.U}}{{.K}}N = s + {{.Seconds}}, n
    else
      low = k + 1
    end
    if step > 0 then
      k, step = math.min(k + step, hi - 1), step * 8
    else
      k = floor((low + high) / 2)
    end
  end
end
{{- end}}
