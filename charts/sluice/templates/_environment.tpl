{{/* The program's settings that the chart decides, each by its variable: the value of the chart that
decides it, or why nothing may. extraEnv and extraArgs cannot set them, so that each is set in one
place, and checked there. */}}
{{- define "sluice.settings" -}}
SLUICE_LEADER_ELECT: {value: leaderElection.enabled}
SLUICE_LOG_FORMAT: {value: log.format}
SLUICE_LOG_LEVEL: {value: log.level}
SLUICE_MAX_RESERVATIONS: {value: maxReservations}
SLUICE_RESERVATION_TTL: {value: reservationTTL}
SLUICE_ACCOUNTS: {why: the chart runs Sluice for the MailAccounts of the cluster}
SLUICE_HTTP_ADDRESS: {why: "the Service needs port 8080 of the pod; see service.port"}
SLUICE_HEALTH_ADDRESS: {why: the probes need port 8081 of the pod}
SLUICE_METRICS_ADDRESS: {why: the Service needs port 9090 of the pod}
SLUICE_AUTH: {value: auth.type}
SLUICE_AUTH_AUDIENCE: {value: auth.audience}
SLUICE_TLS_CERT_FILE: {why: "the chart mounts a Secret for it; see tls.type"}
SLUICE_TLS_KEY_FILE: {why: "the chart mounts a Secret for it; see tls.type"}
SLUICE_TLS_MIN_VERSION: {value: tls.minVersion}
SLUICE_SYNC: {value: store.sync}
SLUICE_DATA_DIR: {why: "the volume of the journal is at {{ include "sluice.dataDir" . }}; see store.type"}
SLUICE_REDIS_URL: {why: "the chart makes it of redis.host and its like; see store.type"}
SLUICE_REDIS_USERNAME_FILE: {why: "the chart mounts a Secret for it; see redis.existingSecret"}
SLUICE_REDIS_PASSWORD_FILE: {why: "the chart mounts a Secret for it; see redis.existingSecret"}
SLUICE_REDIS_CA_FILE: {why: "the chart mounts a Secret for it; see redis.tls.existingSecret"}
SLUICE_REDIS_TIMEOUT: {value: redis.timeout}
SLUICE_REDIS_PREFIX: {value: redis.prefix}
SLUICE_REDIS_WAIT_REPLICAS: {value: redis.waitReplicas}
SLUICE_REDIS_WAIT_FSYNC: {value: redis.waitFsync}
{{- if ne .Values.store.type "journal" }}
SLUICE_ACCEPT_LOSS: {why: "there is no journal to lose anything; see store.type"}
SLUICE_TRUST_CLOCK: {why: "there is no journal that needs the clock; see store.type"}
{{- end }}
{{- end }}

{{/* The environment, as a map until the end: a list could name a variable twice, which an apply cannot merge. */}}
{{- define "sluice.env" -}}
{{- $env := dict
  "SLUICE_LEADER_ELECT" (toString .Values.leaderElection.enabled)
  "SLUICE_LOG_FORMAT" .Values.log.format
  "SLUICE_LOG_LEVEL" .Values.log.level
  "SLUICE_MAX_RESERVATIONS" (int64 .Values.maxReservations | toString)
  "SLUICE_RESERVATION_TTL" .Values.reservationTTL
  "POD_NAME" (dict "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))
  "POD_UID" (dict "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.uid")))
}}
{{- /* Without a journal, the program refuses to be told how to keep it. */}}
{{- if eq .Values.store.type "journal" }}
{{- $_ := set $env "SLUICE_DATA_DIR" (include "sluice.dataDir" .) }}
{{- $_ := set $env "SLUICE_SYNC" .Values.store.sync }}
{{- end }}
{{- if eq .Values.store.type "redis" }}
{{- $env = merge (include "sluice.redisEnv" . | fromYaml) $env }}
{{- end }}
{{- $env = merge (include "sluice.authEnv" . | fromYaml) (include "sluice.tlsEnv" . | fromYaml) $env }}
{{- with include "sluice.goMemoryLimit" . }}
{{- $_ := set $env "GOMEMLIMIT" . }}
{{- end }}
{{- range $name, $value := .Values.extraEnv }}
{{- $_ := set $env $name $value }}
{{- end }}
{{- range $name, $value := $env }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Nine tenths of the memory limit, in bytes: near it, Go collects garbage rather than be killed.
Empty without a limit. A quantity has a binary suffix, a decimal one, or an exponent, which the
number keeps. */}}
{{- define "sluice.goMemoryLimit" -}}
{{- $limit := ((.Values.resources).limits).memory }}
{{- if not (kindIs "invalid" $limit) }}
{{- $quantity := toString $limit }}
{{- $syntax := "^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)(n|u|m|k|[MGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?$" }}
{{- if not (regexMatch $syntax $quantity) }}
{{- fail (printf "resources.limits.memory is %q, which Kubernetes does not take for a quantity: write it like 512Mi" $quantity) }}
{{- end }}
{{- $suffix := regexFind "(n|u|m|k|[MGTPE]|[KMGTPE]i)$" $quantity }}
{{- $units := dict
  "" 1.0 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0
  "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0
}}
{{- $bytes := mulf (trimSuffix $suffix $quantity | float64) (get $units $suffix) }}
{{- if lt $bytes 16777216.0 }}
{{- fail (printf "resources.limits.memory is %q, which is less than 16Mi and too little to start: write it like 512Mi" $quantity) }}
{{- end }}
{{- mulf $bytes 0.9 | floor | int64 }}
{{- end }}
{{- end }}
