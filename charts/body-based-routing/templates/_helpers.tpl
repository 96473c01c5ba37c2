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
{{- include "bbr.validateFlags" . -}}
{{- include "bbr.validatePorts" . -}}
{{- $filter := .Values.provider.istio.envoyFilter -}}
{{- if and (eq $filter.operation "INSERT_AFTER") (not $filter.anchorSubFilter) -}}
{{- fail "provider.istio.envoyFilter.operation is INSERT_AFTER: name the filter in provider.istio.envoyFilter.anchorSubFilter" -}}
{{- end -}}
{{- end -}}

{{- /* Each flag is one of flags.yaml, which charts/test writes, and none that this chart sets; its value is of the flag's kind. */ -}}
{{- define "bbr.validateFlags" -}}
{{- $known := .Files.Get "flags.yaml" | fromYaml -}}
{{- $own := dict "grpc-port" "bbr.port" "grpc-health-port" "bbr.healthCheckPort" "metrics-port" "bbr.metricsPort" "lame-duck" "bbr.lameDuck" "plugin" "bbr.plugins" "tracing" "bbr.tracing.enabled" "streaming" "nothing: the gateway streams" -}}
{{- $whole := list "^[0-9]+$" "a whole number" -}}
{{- $kinds := dict "COUNT" $whole "BYTES" $whole "REQUESTS" $whole "PORT" $whole "LEVEL" (list "^-?[0-9]+$" "a whole number") "FRACTION" (list "^[0-9]*[.]?[0-9]+$" "a number from 0 to 1") "DURATION" (list "^([0-9]{1,5}(h|m|s|ms)){1,4}$" "a time such as 30s or 1m30s, in whole h, m, s and ms") "SWITCH" (list "^(1|0|t|f|T|F|true|false|True|False|TRUE|FALSE)$" "true or false") "ALONE" (list "^true$" "true, or leave it out") -}}
{{- range $name, $value := .Values.bbr.flags -}}
{{- $flag := regexReplaceAll "([A-Z])" $name "-${1}" | lower | trimPrefix "-" -}}
{{- with get $own $flag }}{{ fail (printf "bbr.flags.%s: set %s instead" $name .) }}{{ end -}}
{{- if not (hasKey $known $flag) }}{{ fail (printf "bbr.flags.%s: `pointsman bbr` has no flag --%s" $name $flag) }}{{ end -}}
{{- $text := kindIs "string" $value | ternary $value (toJson $value) -}}
{{- with get $kinds (get $known $flag) -}}
{{- if not (regexMatch (first .) $text) }}{{ fail (printf "bbr.flags.%s is %s: it must be %s" $name $text (last .)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* One process listens on all of them. */ -}}
{{- define "bbr.validatePorts" -}}
{{- $taken := dict -}}
{{- range $port := list (list "bbr.port" .Values.bbr.port) (list "bbr.healthCheckPort" .Values.bbr.healthCheckPort) (list "bbr.metricsPort" .Values.bbr.metricsPort) -}}
{{- $number := last $port | toJson -}}
{{- with get $taken $number }}{{ fail (printf "%s is %s, and so is %s: each takes a port of its own" (first $port) $number .) }}{{ end -}}
{{- $_ := set $taken $number (first $port) -}}
{{- end -}}
{{- end -}}
