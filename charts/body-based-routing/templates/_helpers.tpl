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

{{- /* Flags, and a --plugin for each plugin. */ -}}
{{- define "bbr.flags" -}}
{{- include "program.flags" .Values.bbr.flags }}
{{- range .Values.bbr.plugins }}
- {{ printf "--plugin=%s:%s%s" .type .name (empty .json | ternary "" (printf ":%s" (toJson .json))) | quote }}
{{- end }}
{{- end -}}

{{- /* What a schema cannot say, or not well. */ -}}
{{- define "bbr.validate" -}}
{{- $own := dict "grpc-port" "bbr.port" "grpc-health-port" "bbr.healthCheckPort" "metrics-port" "bbr.metricsPort" "lame-duck" "bbr.lameDuck" "plugin" "bbr.plugins" "tracing" "bbr.tracing.enabled" "streaming" "nothing: the gateway streams" -}}
{{- include "program.validateFlags" (dict "flags" .Values.bbr.flags "place" "bbr.flags" "command" "pointsman bbr" "known" (.Files.Get "flags.yaml") "own" $own) -}}
{{- include "program.validatePorts" (list (list "bbr.port" .Values.bbr.port) (list "bbr.healthCheckPort" .Values.bbr.healthCheckPort) (list "bbr.metricsPort" .Values.bbr.metricsPort)) -}}
{{- include "program.validateImage" (dict "image" (include "bbr.image" .) "place" "bbr.image") -}}
{{- include "bbr.validatePlugins" . -}}
{{- $filter := .Values.provider.istio.envoyFilter -}}
{{- if and (eq $filter.operation "INSERT_AFTER") (not $filter.anchorSubFilter) -}}
{{- fail "provider.istio.envoyFilter.operation is INSERT_AFTER: name the filter in provider.istio.envoyFilter.anchorSubFilter" -}}
{{- end -}}
{{- end -}}

{{- /* A header by which a request is sent, read or routed holds no field of a body; the program has the same list. */ -}}
{{- define "bbr.validatePlugins" -}}
{{- $reserved := "^(host|connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|expect|content-.*|x-envoy-.*|x-gateway-destination-endpoint.*|x-gateway-base-model-name)$" -}}
{{- $fields := list "model" -}}
{{- range .Values.bbr.plugins -}}
{{- $json := .json | default dict -}}
{{- $header := get $json "headerName" -}}
{{- if regexMatch $reserved (toString $header | lower | replace "_" "-") -}}
{{- fail (printf "bbr.plugins: %s has the headerName %s, by which a request is sent, read or routed: it holds no field of a body" .name $header) -}}
{{- end -}}
{{- with get $json "fieldName" }}{{ $fields = append $fields . }}{{ end -}}
{{- end -}}
{{- if gt (len (uniq $fields)) 17 }}{{ fail (printf "bbr.plugins has %d fields beside model: at most 16 go to headers" (sub (len (uniq $fields)) 1)) }}{{ end -}}
{{- end -}}
