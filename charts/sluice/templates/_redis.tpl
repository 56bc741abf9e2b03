{{/* Where the pod finds the user and the password of Redis, and whom to trust. */}}
{{- define "sluice.redisDir" -}}
/etc/sluice/redis
{{- end }}
{{- define "sluice.redisCADir" -}}
/etc/sluice/redis-ca
{{- end }}

{{/* The URL of Redis, without a password: the first host is the URL's, the others are addr=. */}}
{{- define "sluice.redisURL" -}}
{{- with .Values.redis }}
{{- $hosts := list (printf "%s:%d" .host (int .port)) }}
{{- $query := list }}
{{- if .cluster.enabled }}
{{- $hosts = include "sluice.redisHosts" (dict "hosts" .cluster.hosts "port" "6379") | fromYamlArray }}
{{- else if .sentinel.enabled }}
{{- $hosts = include "sluice.redisHosts" (dict "hosts" .sentinel.hosts "port" "26379") | fromYamlArray }}
{{- $query = list (printf "master_set=%s" .sentinel.masterSet) }}
{{- end }}
{{- range rest $hosts | reverse }}
{{- $query = prepend $query (printf "addr=%s" .) }}
{{- end }}
{{- ternary "rediss" "redis" .tls.enabled }}://{{ with .username }}{{ . }}@{{ end }}{{ first $hosts }}
{{- with int .database }}/{{ . }}{{ end }}
{{- with $query }}?{{ join "&" . }}{{ end }}
{{- end }}
{{- end }}

{{/* Hosts, each with a port, as a list in YAML. */}}
{{- define "sluice.redisHosts" -}}
{{- $all := list }}
{{- range .hosts }}
{{- $all = append $all (ternary . (printf "%s:%s" . $.port) (regexMatch ":[0-9]+$" .)) }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* The program's settings for Redis, as a map in YAML. */}}
{{- define "sluice.redisEnv" -}}
SLUICE_REDIS_URL: {{ include "sluice.redisURL" . | quote }}
{{- with .Values.redis }}
SLUICE_REDIS_TIMEOUT: {{ .timeout | quote }}
SLUICE_REDIS_PREFIX: {{ .prefix | quote }}
SLUICE_REDIS_WAIT_REPLICAS: {{ int64 .waitReplicas | toString | quote }}
SLUICE_REDIS_WAIT_FSYNC: {{ toString .waitFsync | quote }}
{{- if .existingSecret }}
SLUICE_REDIS_PASSWORD_FILE: "{{ include "sluice.redisDir" $ }}/password"
{{- if .existingSecretUsernameKey }}
SLUICE_REDIS_USERNAME_FILE: "{{ include "sluice.redisDir" $ }}/username"
{{- end }}
{{- end }}
{{- if .tls.enabled }}
SLUICE_REDIS_CA_FILE: "{{ include "sluice.redisCADir" $ }}/ca.crt"
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets as files, and never as variables or with subPath: a new password is seen. */}}
{{- define "sluice.redisVolumes" -}}
{{- with .Values.redis }}
{{- if .existingSecret }}
- name: redis
  secret:
    secretName: {{ .existingSecret | quote }}
    items:
    - key: {{ .existingSecretPasswordKey | quote }}
      path: password
    {{- with .existingSecretUsernameKey }}
    - key: {{ . | quote }}
      path: username
    {{- end }}
{{- end }}
{{- if .tls.enabled }}
- name: redis-ca
  secret:
    secretName: {{ .tls.existingSecret | quote }}
    items:
    - key: {{ .tls.existingSecretCAKey | quote }}
      path: ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "sluice.redisVolumeMounts" -}}
{{- with .Values.redis }}
{{- if .existingSecret }}
- name: redis
  mountPath: {{ include "sluice.redisDir" $ }}
  readOnly: true
{{- end }}
{{- if .tls.enabled }}
- name: redis-ca
  mountPath: {{ include "sluice.redisCADir" $ }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
