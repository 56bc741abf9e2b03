{{/* Where the pod finds the certificate. */}}
{{- define "sluice.tlsDir" -}}
/etc/sluice/tls
{{- end }}

{{- define "sluice.scheme" -}}
{{- ternary "http" "https" (eq .Values.tls.type "none") }}
{{- end }}

{{/* The name by which callers in the cluster reach Sluice. */}}
{{- define "sluice.host" -}}
{{ include "sluice.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* The names that a certificate of the chart's is for, as a list in YAML. */}}
{{- define "sluice.tlsHosts" -}}
{{- $name := include "sluice.fullname" . }}
{{- $host := include "sluice.host" . }}
{{- $hosts := list $name (printf "%s.%s" $name .Release.Namespace) $host (printf "%s.cluster.local" $host) "localhost" }}
{{- toYaml (concat $hosts .Values.tls.dnsNames | uniq) }}
{{- end }}

{{/* The Secret of the certificate. cert-manager's stays when the Certificate goes, so that it has a
name of its own. */}}
{{- define "sluice.tlsSecret" -}}
{{- if eq .Values.tls.type "existingSecret" }}
{{- .Values.tls.existingSecret }}
{{- else if eq .Values.tls.type "cert-manager" }}
{{- include "sluice.fullname" . }}-certificate
{{- else }}
{{- include "sluice.fullname" . }}-tls
{{- end }}
{{- end }}

{{/* The key in that Secret of what callers should trust; empty for what the system trusts. */}}
{{- define "sluice.tlsCAKey" -}}
{{- ternary .Values.tls.existingSecretCAKey "ca.crt" (eq .Values.tls.type "existingSecret") }}
{{- end }}

{{/* The program's settings of TLS, as a map in YAML. */}}
{{- define "sluice.tlsEnv" -}}
{{- if ne .Values.tls.type "none" }}
SLUICE_TLS_CERT_FILE: "{{ include "sluice.tlsDir" . }}/tls.crt"
SLUICE_TLS_KEY_FILE: "{{ include "sluice.tlsDir" . }}/tls.key"
SLUICE_TLS_MIN_VERSION: {{ .Values.tls.minVersion | quote }}
{{- end }}
{{- end }}

{{- define "sluice.tlsVolumes" -}}
{{- if ne .Values.tls.type "none" }}
- name: tls
  secret:
    secretName: {{ include "sluice.tlsSecret" . | quote }}
    items:
    - key: tls.crt
      path: tls.crt
    - key: tls.key
      path: tls.key
{{- end }}
{{- end }}

{{- define "sluice.tlsVolumeMounts" -}}
{{- if ne .Values.tls.type "none" }}
- name: tls
  mountPath: {{ include "sluice.tlsDir" . }}
  readOnly: true
{{- end }}
{{- end }}

{{/* How many hours are left until a time in RFC 3339; less than 0 if it is none. */}}
{{- define "sluice.hoursLeft" -}}
{{- ((toDate "2006-01-02T15:04:05Z07:00" (default "" .)).Sub now).Hours | int64 }}
{{- end }}

{{/* The time in so many days, in RFC 3339. */}}
{{- define "sluice.inDays" -}}
{{- dateInZone "2006-01-02T15:04:05Z" (now | mustDateModify (printf "%dh" (mul 24 .))) "UTC" }}
{{- end }}
