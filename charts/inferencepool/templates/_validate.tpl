{{- /* What a schema cannot say, or not well; older values that have another name by v1.5. */ -}}
{{- define "epp.validate" -}}
{{- $epp := .Values.inferenceExtension -}}
{{- if not .Values.inferencePool.modelServers.matchLabels -}}
{{- fail "inferencePool.modelServers.matchLabels is required: the labels of the model servers' Pods" -}}
{{- end -}}
{{- $own := dict "grpc-port" "inferenceExtension.extProcPort" "metrics-port" "inferenceExtension.metricsPort" "pool-name" "the release's name" "pool-namespace" "the release's namespace" "pool-group" "nothing: it is inference.networking.k8s.io" "config-file" "inferenceExtension.pluginsConfigFile" "config-text" "inferenceExtension.pluginsCustomConfig" "tracing" "inferenceExtension.tracing.enabled" "metrics-endpoint-auth" "inferenceExtension.monitoring.prometheus.auth.enabled" "grpc-health-port" "nothing: the probes ask 9003" -}}
{{- range $name, $value := $epp.flags -}}
{{- with get $own $name }}{{ fail (printf "inferenceExtension.flags.%s: set %s instead" $name .) }}{{ end -}}
{{- end -}}
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

{{- define "epp.renamed" -}}
{{- $epp := .Values.inferenceExtension -}}
{{- range $old, $new := dict "modelServerMetricsPath" "path" "modelServerMetricsScheme" "scheme" "modelServerMetricsHttpsInsecureSkipVerify" "insecureSkipVerify" -}}
{{- if hasKey $epp $old }}{{ fail (printf "inferenceExtension.%s is of GAIE v0.5.1: set inferenceExtension.metricsDataSource.%s instead" $old $new) }}{{ end -}}
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
