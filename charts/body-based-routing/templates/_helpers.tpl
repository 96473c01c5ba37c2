{{- /* The account that the router runs as. */ -}}
{{- define "bbr.serviceAccount" -}}
{{ .Values.bbr.name }}-{{ .Release.Name }}
{{- end -}}

{{- /* The role that reads the adapters' ConfigMaps. A ClusterRole has the namespace in its name: two routers share none. */ -}}
{{- define "bbr.configMapReader" -}}
{{- if .Values.bbr.multiNamespace -}}
{{ .Release.Namespace }}-{{ include "bbr.serviceAccount" . }}-configmap-reader
{{- else -}}
{{ include "bbr.serviceAccount" . }}-configmap-reader
{{- end -}}
{{- end -}}

{{- /* One policy for each router of a namespace; the reference's name for the reference's router. */ -}}
{{- define "bbr.healthCheckPolicy" -}}
{{- if eq .Values.bbr.name "body-based-router" -}}
bbr-healthcheck
{{- else -}}
{{ .Values.bbr.name }}-healthcheck
{{- end -}}
{{- end -}}

{{- /* registry/repository:tag; hub/name:tag is how the charts up to v1.4 spelt it. */ -}}
{{- define "bbr.image" -}}
{{- $image := .Values.bbr.image -}}
{{- $registry := $image.hub | default $image.registry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{ $image.name | default $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* Flags as --name=value, and --name for what is true: each quoted, or a number would be no string. */ -}}
{{- define "bbr.flags" -}}
{{- range $name, $value := .Values.bbr.flags }}
- {{ eq (toString $value) "true" | ternary (printf "--%s" $name) (printf "--%s=%s" $name (kindIs "string" $value | ternary $value (toJson $value))) | quote }}
{{- end }}
{{- range .Values.bbr.plugins }}
- {{ printf "--plugin=%s:%s%s" .type .name (empty .json | ternary "" (printf ":%s" (toJson .json))) | quote }}
{{- end }}
{{- end -}}

{{- /* What a schema cannot say, or not well. */ -}}
{{- define "bbr.validate" -}}
{{- $own := dict "grpc-port" "bbr.port" "grpc-health-port" "bbr.healthCheckPort" "metrics-port" "bbr.metricsPort" "plugin" "bbr.plugins" "tracing" "bbr.tracing.enabled" "streaming" "nothing: the gateway streams" -}}
{{- range $name, $value := .Values.bbr.flags -}}
{{- with get $own $name }}{{ fail (printf "bbr.flags.%s: set %s instead" $name .) }}{{ end -}}
{{- end -}}
{{- $filter := .Values.provider.istio.envoyFilter -}}
{{- if and (eq $filter.operation "INSERT_AFTER") (not $filter.anchorSubFilter) -}}
{{- fail "provider.istio.envoyFilter.operation is INSERT_AFTER: name the filter in provider.istio.envoyFilter.anchorSubFilter" -}}
{{- end -}}
{{- end -}}
