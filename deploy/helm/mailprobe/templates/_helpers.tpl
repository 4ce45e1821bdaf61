{{/* Name of every resource: the release's, with the chart's name unless it has it. */}}
{{- define "mailprobe.name" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "mailprobe" .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-mailprobe" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels by which the pods are found; they never change. */}}
{{- define "mailprobe.selector" -}}
app.kubernetes.io/name: mailprobe
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every resource. */}}
{{- define "mailprobe.labels" -}}
{{ include "mailprobe.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The address inside of the cluster. */}}
{{- define "mailprobe.host" -}}
{{ include "mailprobe.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Whether the connections are divided among several pods: "true" or nothing. */}}
{{- define "mailprobe.sharded" -}}
{{- if gt (int .Values.shards) 1 }}true{{ end }}
{{- end }}

{{/* Nine tenths of the container's memory limit, for Go's garbage collector. */}}
{{- define "mailprobe.goMemoryLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString }}
{{- if .Values.goMemoryLimit }}
{{- .Values.goMemoryLimit }}
{{- else if regexMatch "^[0-9]+[MG]i$" $limit }}
{{- $size := trimSuffix "Gi" (trimSuffix "Mi" $limit) | int }}
{{- if hasSuffix "Gi" $limit }}{{ $size = mul $size 1024 }}{{ end }}
{{- div (mul $size 9) 10 }}MiB
{{- else if $limit }}
{{- fail (printf "resources.limits.memory is %s: set goMemoryLimit to nine tenths of it, such as 230MiB" $limit) }}
{{- end }}
{{- end }}

{{/* A map of labels: those of the chart and further ones. */}}
{{- define "mailprobe.labelsWith" -}}
{{ include "mailprobe.labels" .root }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}
