{{/* The pod of the Deployment or of the StatefulSet. */}}
{{- define "mailprobe.pod" -}}
metadata:
  labels:
    {{- include "mailprobe.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    {{- include "mailprobe.container" . | nindent 4 }}
  volumes:
    {{- include "mailprobe.volumes" . | nindent 4 }}
  {{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
  {{- with index $.Values $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "mailprobe.container" -}}
- name: mailprobe
  image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
  {{- with .Values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  args:
    - --config.file=/etc/mailprobe/config.yml
    - --config.enable-auto-reload
    - --state.file=/var/lib/mailprobe/state.json
    {{- if include "mailprobe.sharded" . }}
    # The number at the end of the pod's name.
    - --shard=ordinal/{{ int .Values.shards }}
    {{- end }}
    {{- if .Values.web.config }}
    - --web.config.file=/etc/mailprobe-web/web.yml
    {{- end }}
    {{- range .Values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  ports:
    - name: metrics
      containerPort: 10925
  # Commands, because httpGet is refused once a password is asked for.
  readinessProbe:
    exec:
      command: [/mailprobe, healthcheck]
    periodSeconds: 10
    timeoutSeconds: 6
  livenessProbe:
    exec:
      command: [/mailprobe, healthcheck]
    initialDelaySeconds: 10
    periodSeconds: 30
    timeoutSeconds: 6
  env:
    {{- with include "mailprobe.goMemoryLimit" . }}
    - name: GOMEMLIMIT
      value: {{ . | quote }}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: config
      mountPath: /etc/mailprobe
      readOnly: true
    - name: secrets
      mountPath: /etc/mailprobe-secrets
      readOnly: true
    - name: state
      mountPath: /var/lib/mailprobe
    {{- if .Values.web.config }}
    - name: web
      mountPath: /etc/mailprobe-web
      readOnly: true
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "mailprobe.volumes" -}}
- name: config
  configMap:
    name: {{ .Values.existingConfigMap | default (include "mailprobe.name" .) }}
- name: secrets
  secret:
    secretName: {{ .Values.secret.existing | default (include "mailprobe.name" .) }}
    defaultMode: 288 # 0440
{{- if .Values.web.config }}
- name: web
  secret:
    secretName: {{ include "mailprobe.name" . }}-web
    defaultMode: 288 # 0440
{{- end }}
{{- if not .Values.persistence.enabled }}
- name: state
  emptyDir: {}
{{- else if not (include "mailprobe.sharded" .) }}
- name: state
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | default (include "mailprobe.name" .) }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What is claimed for the state. */}}
{{- define "mailprobe.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .Values.persistence.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size }}
{{- end }}
