{{/* How many replicas there are, without an autoscaler. A shared store is for more than one. */}}
{{- define "sluice.replicas" -}}
{{- if not (kindIs "invalid" .Values.replicaCount) }}
{{- int .Values.replicaCount }}
{{- else }}
{{- ternary 2 1 (eq .Values.store.type "redis") }}
{{- end }}
{{- end }}

{{/* How many there are at least. */}}
{{- define "sluice.minReplicas" -}}
{{- ternary (int .Values.autoscaling.minReplicas) (include "sluice.replicas" . | int) .Values.autoscaling.enabled }}
{{- end }}

{{/* Whether there is a PodDisruptionBudget; empty if not. */}}
{{- define "sluice.budget" -}}
{{- $enabled := .Values.podDisruptionBudget.enabled }}
{{- if kindIs "invalid" $enabled }}
{{- $enabled = and (eq .Values.store.type "redis") (gt (include "sluice.minReplicas" . | int) 1) }}
{{- end }}
{{- if $enabled }}yes{{ end }}
{{- end }}

{{/* Where the pod may run. Without a shared store: nowhere, as long as another pod of the release is
there, be it about to end, or one of another workload such as the Deployment of an earlier chart.
kubernetes.io/os spans all nodes that can run the image. With one, and if the values do not say:
rather in another zone than the others. A second spread constraint would do that only where each
node has a zone: the scheduler ignores nodes without all labels. */}}
{{- define "sluice.affinity" -}}
{{- $affinity := deepCopy .Values.affinity }}
{{- $pods := dict "matchLabels" (include "sluice.selectorLabels" . | fromYaml) }}
{{- if ne .Values.store.type "redis" }}
{{- $alone := dict "labelSelector" $pods "topologyKey" "kubernetes.io/os" }}
{{- $apart := default dict $affinity.podAntiAffinity }}
{{- $required := default list $apart.requiredDuringSchedulingIgnoredDuringExecution }}
{{- $_ := set $apart "requiredDuringSchedulingIgnoredDuringExecution" (prepend $required $alone) }}
{{- $_ := set $affinity "podAntiAffinity" $apart }}
{{- else if not $affinity }}
{{- $zone := dict "labelSelector" $pods "topologyKey" "topology.kubernetes.io/zone" }}
{{- $_ := set $affinity "podAntiAffinity" (dict
  "preferredDuringSchedulingIgnoredDuringExecution"
  (list (dict "weight" 100 "podAffinityTerm" $zone))
) }}
{{- end }}
{{- with $affinity }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* How pods are spread: if the values do not say, replicas that share a store over the nodes. The
hash tells the pods of a rollout from those that they replace. */}}
{{- define "sluice.spread" -}}
{{- $spread := .Values.topologySpreadConstraints }}
{{- if and (kindIs "invalid" $spread) (eq .Values.store.type "redis") }}
{{- $spread = list (dict
  "maxSkew" 1
  "topologyKey" "kubernetes.io/hostname"
  "whenUnsatisfiable" "ScheduleAnyway"
  "labelSelector" (dict "matchLabels" (include "sluice.selectorLabels" . | fromYaml))
  "matchLabelKeys" (list "pod-template-hash")
) }}
{{- end }}
{{- with $spread }}
{{- toYaml . }}
{{- end }}
{{- end }}
