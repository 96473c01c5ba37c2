{{- /* What a schema cannot say, or not well; older values that have another name by v1.5. */ -}}
{{- define "epp.validate" -}}
{{- $epp := .Values.inferenceExtension -}}
{{- if not .Values.inferencePool.modelServers.matchLabels -}}
{{- fail "inferencePool.modelServers.matchLabels is required: the labels of the model servers' Pods" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) -}}
{{- fail (printf "the release's name is %s: it names a Service too, so it must be small letters, digits and dashes, and begin with a letter" .Release.Name) -}}
{{- end -}}
{{- $own := dict "grpc-port" "inferenceExtension.extProcPort" "metrics-port" "inferenceExtension.metricsPort" "lame-duck" "inferenceExtension.lameDuck" "pool-name" "the release's name" "pool-namespace" "the release's namespace" "pool-group" "nothing: it is inference.networking.k8s.io" "endpoint-selector" "inferencePool.modelServers.matchLabels" "endpoint-target-ports" "inferencePool.targetPorts" "config-file" "inferenceExtension.pluginsConfigFile" "config-text" "inferenceExtension.pluginsCustomConfig" "tracing" "inferenceExtension.tracing.enabled" "metrics-endpoint-auth" "inferenceExtension.monitoring.prometheus.auth.enabled" "grpc-health-port" "nothing: the probes ask 9003" "log-format" "nothing: the log is JSON" "model-server-metrics-scheme" "inferenceExtension.metricsDataSource.scheme" "model-server-metrics-path" "inferenceExtension.metricsDataSource.path" "model-server-metrics-https-insecure-skip-verify" "inferenceExtension.metricsDataSource.insecureSkipVerify" -}}
{{- include "program.validateFlags" (dict "flags" $epp.flags "place" "inferenceExtension.flags" "command" "pointsman epp" "known" (.Files.Get "flags.yaml") "own" $own) -}}
{{- include "epp.validatePorts" $epp -}}
{{- include "program.validateImage" (dict "image" (include "epp.image" .) "place" "inferenceExtension.image") -}}
{{- $file := $epp.pluginsConfigFile -}}
{{- if and $file (ne $file "default-plugins.yaml") (not (hasKey $epp.pluginsCustomConfig $file)) -}}
{{- fail (printf "inferenceExtension.pluginsConfigFile is %s, and inferenceExtension.pluginsCustomConfig holds no such file" $file) -}}
{{- end -}}
{{- if and $epp.pluginsCustomConfig (not $file) -}}
{{- fail (printf "inferenceExtension.pluginsCustomConfig holds %s: say which is obeyed with inferenceExtension.pluginsConfigFile" (keys $epp.pluginsCustomConfig | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if $epp.latencyPredictor.enabled -}}
{{- fail "inferenceExtension.latencyPredictor.enabled: Pointsman has no latency predictor beside it; leave it false" -}}
{{- end -}}
{{- if eq .Values.inferencePool.modelServerProtocol "grpc" -}}
{{- fail "inferencePool.modelServerProtocol is grpc: Pointsman reads no gRPC requests yet; serve the model over http" -}}
{{- end -}}
{{- if has .Values.inferencePool.parser (list "vllmgrpc-parser" "passthrough-parser") -}}
{{- fail (printf "inferencePool.parser is %s: Pointsman reads OpenAI-style requests only; leave it empty, or openai-parser" .Values.inferencePool.parser) -}}
{{- end -}}
{{- if and $epp.sidecar.enabled (not (and $epp.sidecar.name $epp.sidecar.image)) -}}
{{- fail "inferenceExtension.sidecar.enabled: give inferenceExtension.sidecar.name and inferenceExtension.sidecar.image" -}}
{{- end -}}
{{- include "epp.renamed" . -}}
{{- end -}}

{{- /* Those of further pools too, which the Service must have, or no gateway reaches them. */ -}}
{{- define "epp.validatePorts" -}}
{{- $ports := list (list "inferenceExtension.extProcPort" .extProcPort) (list "inferenceExtension.metricsPort" .metricsPort) (list "the health port" 9003) -}}
{{- $served := list -}}
{{- range .extraServicePorts }}{{ $served = append $served (.targetPort | default .port | toString) }}{{ end -}}
{{- range compact (splitList "," (dig "pool" "" (.flags | default dict) | toString)) -}}
{{- if not (regexMatch "^([-.a-z0-9]+/)?[-.a-z0-9]+=[0-9]{1,5}$" .) -}}
{{- fail (printf "inferenceExtension.flags.pool: %s must be NAMESPACE/NAME=PORT; further ones follow after commas" .) -}}
{{- end -}}
{{- $pool := splitList "=" . -}}
{{- $ports = append $ports (list (printf "the port of %s in inferenceExtension.flags.pool" (first $pool)) (last $pool | atoi)) -}}
{{- end -}}
{{- include "program.validatePorts" $ports -}}
{{- range slice $ports 3 -}}
{{- if not (has (last . | toString) $served) -}}
{{- fail (printf "%s is %d, and the picker's Service has no such port: add it to inferenceExtension.extraServicePorts" (first .) (last .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "epp.renamed" -}}
{{- $epp := .Values.inferenceExtension -}}
{{- range $old, $new := dict "modelServerMetricsPath" "path" "modelServerMetricsScheme" "scheme" "modelServerMetricsHttpsInsecureSkipVerify" "insecureSkipVerify" -}}
{{- if hasKey $epp $old }}{{ fail (printf "inferenceExtension.%s is of GAIE v0.5.1: set inferenceExtension.metricsDataSource.%s instead" $old $new) }}{{ end -}}
{{- end -}}
{{- if hasKey $epp "modelServerMetricsPort" -}}
{{- fail "inferenceExtension.modelServerMetricsPort is of GAIE v0.5.1: set inferenceExtension.flags.model-server-metrics-port instead" -}}
{{- end -}}
{{- if dig "gke" "enabled" false $epp.monitoring -}}
{{- fail "inferenceExtension.monitoring.gke.enabled is of GAIE v1.2: set provider.name to gke and inferenceExtension.monitoring.prometheus.enabled instead" -}}
{{- end -}}
{{- if .Values.gke -}}
{{- fail "gke.monitoringSecret is of GAIE v1.0 and older: set provider.name to gke and inferenceExtension.monitoring.prometheus.enabled instead; the secret is made by this chart" -}}
{{- end -}}
{{- if .Values.istio -}}
{{- fail "istio.destinationRule is of GAIE v1.2 and older: set provider.istio.destinationRule instead" -}}
{{- end -}}
{{- end -}}
