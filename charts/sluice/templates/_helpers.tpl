{{/* A label's value has at most 63 characters; 58 leaves room for the "-test" of the test pod. */}}
{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 58 | trimSuffix "-" }}
{{- end }}

{{/* The release "sluice" is called sluice, the release "mail" mail-sluice. A Service's name has at most 63. */}}
{{- define "sluice.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* A StatefulSet's selector can never change, so nothing that may change belongs here. */}}
{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sluice.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "sluice.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "sluice"
  "app.kubernetes.io/managed-by" .Release.Service
}}
{{- $selector := include "sluice.selectorLabels" . | fromYaml }}
{{- toYaml (merge dict $selector .Values.commonLabels $own) }}
{{- end }}

{{/* A digest says exactly which image, so it wins over a tag. */}}
{{- define "sluice.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* This release, in the words of sluice.owner. */}}
{{- define "sluice.release" -}}
the release {{ .Release.Name }} in the namespace {{ .Release.Namespace }}
{{- end }}

{{/* The release that an object in the cluster belongs to; empty if it belongs to none. */}}
{{- define "sluice.owner" -}}
{{- with .metadata.annotations }}
{{- with index . "meta.helm.sh/release-name" }}
{{- printf "the release %s in the namespace %s" . (index $.metadata.annotations "meta.helm.sh/release-namespace") }}
{{- end }}
{{- end }}
{{- end }}

{{/* The annotations of what helm test needs before its pod. */}}
{{- define "sluice.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
