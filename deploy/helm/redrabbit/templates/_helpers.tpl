{{- define "redrabbit.labels" -}}
{{ include "redrabbit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "redrabbit.selector" -}}
app.kubernetes.io/name: redrabbit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* One of the three processes: (dict "top" $ "process" "worker" "port" 9109 "live" "/healthz" "more" (list of ports)) */ -}}
{{- define "redrabbit.process" -}}
name: {{ .process }}
image: {{ .top.Values.image.repository }}:{{ .top.Values.image.tag | default .top.Chart.AppVersion }}
imagePullPolicy: {{ .top.Values.image.pullPolicy }}
args: [{{ .process }}]
env:
  - {name: REDRABBIT_STATION__LISTEN, value: "0.0.0.0:8080"}
  - {name: REDRABBIT_METRICS__EXPORTER, value: "0.0.0.0:9108"}
  - {name: REDRABBIT_METRICS__WORKER, value: "0.0.0.0:9109"}
  {{- range $name, $text := .top.Values.environment }}
  - {name: {{ $name }}, value: {{ $text | quote }}}
  {{- end }}
ports:
  - {name: {{ .process }}, containerPort: {{ .port }}}
  {{- if and (eq .process "worker") .top.Values.camera.port }}
  - {name: camera, containerPort: {{ .top.Values.camera.port }}}
  {{- end }}
# A model may take minutes to warm up on a GPU; until then nobody asks whether the process lives.
startupProbe:
  httpGet: {path: /readyz, port: {{ .process }}}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ .process }}}
  periodSeconds: 15
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: {{ .process }}}
  periodSeconds: 15
  timeoutSeconds: 5
resources:
  {{- toYaml (index .top.Values.resources .process) | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /var/lib/redrabbit}
  - {name: config, mountPath: /etc/redrabbit, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- if .top.Values.models }}
  - {name: models, mountPath: /models, readOnly: true}
  {{- end }}
  {{- if .top.Values.shared }}
  - {name: shared, mountPath: /var/lib/redrabbit-shared}
  {{- end }}
  {{- if and (eq .process "worker") .top.Values.camera.tokenSecret }}
  - {name: camera-token, mountPath: /run/secrets/camera, readOnly: true}
  {{- end }}
{{- end }}

{{- /* What every pod has beside its containers and volumes. */ -}}
{{- define "redrabbit.pod" -}}
# Else the cluster puts REDRABBIT_PORT and the like of a service of that name into the environment, which are no settings.
enableServiceLinks: false
automountServiceAccountToken: false
terminationGracePeriodSeconds: 30
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What every process has mounted, but for `data`. */ -}}
{{- define "redrabbit.volumes" -}}
- name: config
  configMap: {name: {{ .Release.Name }}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 256Mi}
{{- with .Values.models }}
- name: models
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.camera.tokenSecret }}
- name: camera-token
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.shared }}
- name: shared
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
