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
    # Ready once every limit is loaded. Until then calls are answered with 503.
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
    {{- if eq .Values.store.type "journal" }}
    volumeMounts:
    - name: journal
      mountPath: {{ include "sluice.dataDir" . }}
    {{- end }}
  {{- if eq .Values.store.type "journal" }}
  volumes:
  - name: journal
    {{- with include "sluice.claim" . }}
    persistentVolumeClaim:
      claimName: {{ . | quote }}
    {{- else }}
    emptyDir: {}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- include "sluice.affinity" . | nindent 4 }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
{{- end }}

{{/* Where the pod may run: nowhere, as long as another pod of the release is there, be it about to
end, or one of another workload such as the Deployment of an earlier chart. kubernetes.io/os spans
all nodes that can run the image. */}}
{{- define "sluice.affinity" -}}
{{- $alone := dict
  "labelSelector" (dict "matchLabels" (include "sluice.selectorLabels" . | fromYaml))
  "topologyKey" "kubernetes.io/os"
}}
{{- $affinity := deepCopy .Values.affinity }}
{{- $apart := default dict $affinity.podAntiAffinity }}
{{- $required := default list $apart.requiredDuringSchedulingIgnoredDuringExecution }}
{{- $_ := set $apart "requiredDuringSchedulingIgnoredDuringExecution" (prepend $required $alone) }}
{{- $_ := set $affinity "podAntiAffinity" $apart }}
{{- toYaml $affinity }}
{{- end }}
