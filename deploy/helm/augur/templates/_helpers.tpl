{{- define "augur.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "augur.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "augur.selector" -}}
app.kubernetes.io/name: {{ include "augur.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "augur.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "augur.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: augur
{{- end }}

{{- define "augur.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "augur.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "augur.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "augur.tokenSecret" -}}
{{- default (printf "%s-token" (include "augur.fullname" .)) .Values.auth.existingSecret }}
{{- end }}

{{- define "augur.scheme" -}}
{{- if .Values.tls.existingSecret }}https{{ else }}http{{ end }}
{{- end }}

{{- define "augur.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if and (eq .Values.learner.placement "separate") (not (hasKey $config "kind")) }}
{{- $url := printf "%s://%s-learner:%v" (include "augur.scheme" .) (include "augur.fullname" .) .Values.learner.port }}
{{- $config = mergeOverwrite (dict "scheduler" (dict "ai_api_url" $url)) $config }}
{{- end }}
{{- if and .Values.prometheus.url (not (hasKey $config "kind")) }}
{{- $prometheus := dict "url" .Values.prometheus.url }}
{{- if .Values.prometheus.existingSecret }}
{{- $_ := set $prometheus "bearer_token_file" "/run/augur/prometheus/token" }}
{{- if .Values.prometheus.ca }}
{{- $_ := set $prometheus "ca_file" "/run/augur/prometheus/ca.crt" }}
{{- end }}
{{- end }}
{{- $metrics := dict "prometheus" $prometheus }}
{{- if .Values.prometheus.source }}
{{- $_ := set $metrics "source" "prometheus" }}
{{- end }}
{{- $config = mergeOverwrite (dict "metrics" $metrics) $config }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "augur.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "augur.securityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "augur.probes" -}}
startupProbe:
  httpGet: {path: {{ .live }}, port: http, scheme: {{ .scheme | upper }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: {{ .live }}, port: http, scheme: {{ .scheme | upper }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .ready }}, port: http, scheme: {{ .scheme | upper }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- define "augur.volumeMounts" -}}
- {name: data, mountPath: /data}
- {name: config, mountPath: /etc/augur, readOnly: true}
- {name: token, mountPath: /run/augur/token, readOnly: true}
{{- if .Values.tls.existingSecret }}
- {name: tls, mountPath: /run/augur/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "augur.volumes" -}}
- name: config
  configMap:
    name: {{ include "augur.fullname" . }}
- name: token
  secret:
    secretName: {{ include "augur.tokenSecret" . }}
    defaultMode: 0440
{{- if .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- end }}
{{- end }}

{{- define "augur.volumeClaimTemplates" -}}
{{- if .Values.persistence.enabled }}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: {{ toYaml .Values.persistence.accessModes | nindent 8 }}
      {{- with .Values.persistence.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .Values.persistence.size }}
{{- end }}
{{- end }}

{{- define "augur.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
