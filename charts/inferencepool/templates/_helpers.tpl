{{- /* The picker's name, as the reference makes it: other objects of a cluster may name it. */ -}}
{{- define "epp.name" -}}
{{ .Release.Name | lower | trunc 40 }}-epp
{{- end -}}

{{- define "epp.labels" -}}
app.kubernetes.io/name: {{ include "epp.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "epp.selectorLabels" -}}
inferencepool: {{ include "epp.name" . }}
{{- end -}}

{{- /* Name of what has no namespace of its own. */ -}}
{{- define "epp.clusterName" -}}
{{ printf "%s-%s-epp" (.Release.Name | lower | trunc 40) (.Release.Namespace | trunc 40) }}
{{- end -}}

{{- /* registry/repository:tag; hub/name:tag is how the charts up to v1.4 spelt it. */ -}}
{{- define "epp.image" -}}
{{- $image := .Values.inferenceExtension.image -}}
{{- with $image.hub | default $image.registry }}{{ . }}/{{ end -}}
{{ $image.name | default $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* Ports of the model servers; targetPortNumber is how the chart of v0.5.1 spelt the only one. */ -}}
{{- define "epp.targetPorts" -}}
{{- $ports := .Values.inferencePool.targetPorts -}}
{{- with .Values.inferencePool.targetPortNumber -}}
{{- if eq (toJson $ports) "[{\"number\":8000}]" }}{{ $ports = list (dict "number" .) }}{{ end -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}

{{- /* Flags, those of the chart's other values first. */ -}}
{{- define "epp.flags" -}}
{{- $metrics := .Values.inferenceExtension.metricsDataSource -}}
{{- if ne $metrics.scheme "http" }}
- {{ printf "--model-server-metrics-scheme=%s" $metrics.scheme | quote }}
- --model-server-metrics-https-insecure-skip-verify={{ $metrics.insecureSkipVerify }}
{{- end }}
{{- if ne $metrics.path "/metrics" }}
- {{ printf "--model-server-metrics-path=%s" $metrics.path | quote }}
{{- else if eq .Values.inferencePool.modelServerType "trtllm-serve" }}
- --model-server-metrics-path=/prometheus/metrics
{{- end }}
{{- if hasKey .Values.inferenceExtension "enablePprof" }}
- --enable-pprof={{ .Values.inferenceExtension.enablePprof }}
{{- end }}
{{- include "program.flags" .Values.inferenceExtension.flags }}
{{- end -}}

{{- /* The reference's policy, for whoever asks for it by its file's name. */ -}}
{{- define "epp.defaultPlugins" -}}
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
{{- end -}}
