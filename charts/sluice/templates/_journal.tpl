{{/* Where the pod finds the journal. */}}
{{- define "sluice.dataDir" -}}
/var/lib/sluice
{{- end }}

{{/* The claim that the journal is on; empty if there is no journal, or one in an emptyDir. */}}
{{- define "sluice.claim" -}}
{{- if and (eq .Values.store.type "journal") .Values.persistence.enabled }}
{{- default (include "sluice.fullname" .) .Values.persistence.existingClaim }}
{{- end }}
{{- end }}

{{- define "sluice.journalVolumeMounts" -}}
- name: journal
  mountPath: {{ include "sluice.dataDir" . }}
{{- end }}

{{- define "sluice.journalVolumes" -}}
- name: journal
  {{- with include "sluice.claim" . }}
  persistentVolumeClaim:
    claimName: {{ . | quote }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
