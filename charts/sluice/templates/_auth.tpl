{{/* Who may call: "kubernetes", or "none". */}}
{{- define "sluice.auth" -}}
{{- if not .Values.auth }}
{{- fail "there are no values auth: --reuse-values has left them out, as the chart of the release had none. Upgrade with --reset-then-reuse-values instead" }}
{{- end }}
{{- default "kubernetes" .Values.auth.type }}
{{- end }}

{{/* The program's settings of it, as a map in YAML. */}}
{{- define "sluice.authEnv" -}}
SLUICE_AUTH: {{ include "sluice.auth" . | quote }}
{{- if eq (include "sluice.auth" .) "kubernetes" }}
SLUICE_AUTH_AUDIENCE: {{ .Values.auth.audience | quote }}
{{- end }}
{{- end }}

{{/* Whether the release in the cluster runs without authentication; empty if not, or if there is
none. */}}
{{- define "sluice.isOpen" -}}
{{- $name := include "sluice.fullname" . }}
{{- range $kind, $name := dict "StatefulSet" ($name | trunc 52 | trimSuffix "-") "Deployment" $name }}
{{- with lookup "apps/v1" $kind $.Release.Namespace $name }}
{{- $auth := "none" }}
{{- range .spec.template.spec.containers }}
{{- range .env }}
{{- if eq .name "SLUICE_AUTH" }}
{{- $auth = .value }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq $auth "none" }}yes{{ end }}
{{- end }}
{{- end }}
{{- end }}
