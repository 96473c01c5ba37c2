{{- /* A container of the user's own beside the picker. */ -}}
{{- define "epp.sidecar" -}}
{{- with .Values.inferenceExtension.sidecar -}}
- name: {{ .name | quote }}
  image: {{ .image | quote }}
  imagePullPolicy: {{ .imagePullPolicy | default "IfNotPresent" }}
  {{- with .command }}
  command:
  - {{ . | quote }}
  {{- end }}
  {{- range $field := list "args" "env" "ports" "livenessProbe" "readinessProbe" "resources" "securityContext" "volumeMounts" }}
  {{- with get $.Values.inferenceExtension.sidecar $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "epp.tracing" -}}
{{- with .Values.inferenceExtension.tracing -}}
- name: OTEL_SERVICE_NAME
  value: gateway-api-inference-extension/epp
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .otelExporterEndpoint | quote }}
- name: OTEL_TRACES_EXPORTER
  value: otlp
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampling.sampler | quote }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampling.samplerArg | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(NAMESPACE),k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),k8s.pod.name=$(POD_NAME)
{{- end -}}
{{- end -}}
