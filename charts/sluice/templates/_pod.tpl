{{/* The pod, as the template of a workload. */}}
{{- define "sluice.podTemplate" -}}
metadata:
  annotations:
    {{- $annotations := dict "kubectl.kubernetes.io/default-container" "sluice" }}
    {{- toYaml (merge dict .Values.podAnnotations $annotations) | nindent 4 }}
  labels:
    {{- /* Not the versions of the chart and the app: a pod is not to restart for a label alone. */}}
    {{- $selector := include "sluice.selectorLabels" . | fromYaml }}
    {{- toYaml (merge dict $selector .Values.podLabels .Values.commonLabels) | nindent 4 }}
spec:
  serviceAccountName: {{ include "sluice.serviceAccountName" . | quote }}
  # Service links would be variables called SLUICE_..., which is how the program's own are called.
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: sluice
    image: {{ include "sluice.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
    args:
    - serve
    {{- range .Values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    env:
      {{- include "sluice.env" . | trim | nindent 6 }}
    ports:
    - name: http
      containerPort: 8080
    - name: health
      containerPort: 8081
    - name: metrics
      containerPort: 9090
    {{- with .Values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    # Ten minutes to start, before the liveness probe has a say: a large journal takes time to read.
    startupProbe:
      httpGet:
        path: /healthz
        port: health
      periodSeconds: 1
      failureThreshold: 600
    # Ready once every limit is loaded, and while the store answers. Otherwise calls get 503.
    readinessProbe:
      httpGet:
        path: /readyz
        port: health
      periodSeconds: 1
    livenessProbe:
      httpGet:
        path: /healthz
        port: health
      periodSeconds: 10
    # The Service forgets the pod before the pod stops answering.
    lifecycle:
      preStop:
        sleep:
          seconds: 5
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "sluice.volumeMounts" . | trim }}
    volumeMounts:
      {{- . | nindent 4 }}
    {{- end }}
  {{- with include "sluice.volumes" . | trim }}
  volumes:
    {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "sluice.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "sluice.spread" . }}
  topologySpreadConstraints:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
{{- end }}

{{- define "sluice.volumeMounts" -}}
{{- if eq .Values.store.type "journal" }}
{{- include "sluice.journalVolumeMounts" . }}
{{- else if eq .Values.store.type "redis" }}
{{- include "sluice.redisVolumeMounts" . }}
{{- end }}
{{- include "sluice.tlsVolumeMounts" . }}
{{- end }}

{{- define "sluice.volumes" -}}
{{- if eq .Values.store.type "journal" }}
{{- include "sluice.journalVolumes" . }}
{{- else if eq .Values.store.type "redis" }}
{{- include "sluice.redisVolumes" . }}
{{- end }}
{{- include "sluice.tlsVolumes" . }}
{{- end }}
