{{- /*
What both charts do for their program. The file is the same in both, and charts/test holds it so: a library chart beside them would have to be
fetched with `helm dependency build` before a chart could be installed from its folder.
*/ -}}

{{- /* A flag's name as the program has it, from any of its spellings. */ -}}
{{- define "program.flagName" -}}
{{ regexReplaceAll "([A-Z])" . "-${1}" | lower | trimPrefix "-" }}
{{- end -}}

{{- /* Flags as --name=value, and --name for what is true: each quoted, or a number would be no string. */ -}}
{{- define "program.flags" -}}
{{- range $name, $value := . }}
- {{ eq (toString $value) "true" | ternary (printf "--%s" $name) (printf "--%s=%s" $name (kindIs "string" $value | ternary $value (toJson $value))) | quote }}
{{- end }}
{{- end -}}

{{- /*
Each of `flags`, which stand at the value `place`, is one of the `command`'s, by `known`, the text of flags.yaml, which charts/test writes; it is
none that the chart sets by another value, as `own` says; and its value is of the flag's kind.
*/ -}}
{{- define "program.validateFlags" -}}
{{- $known := fromYaml .known -}}
{{- if kindIs "slice" .flags -}}
{{- fail (printf "%s is a list, as up to GAIE v1.1: write names and values, `v: 1` in the place of `- {name: v, value: 1}`" .place) -}}
{{- end -}}
{{- $whole := list "^[0-9]+$" "a whole number" -}}
{{- $kinds := dict "COUNT" $whole "BYTES" $whole "REQUESTS" $whole "PORT" $whole "ENDPOINTS" (list "^[1-4]$" "a whole number from 1 to 4") "LEVEL" (list "^-?[0-9]+$" "a whole number") "FRACTION" (list "^(0?[.][0-9]+|0|1([.]0+)?)$" "a number from 0 to 1") "DURATION" (list "^([0-9]{1,5}(h|m|s|ms)){1,4}$" "a time such as 30s or 1m30s, in whole h, m, s and ms") "SWITCH" (list "^(1|0|t|f|T|F|true|false|True|False|TRUE|FALSE)$" "true or false") "ALONE" (list "^true$" "true, or leave it out") -}}
{{- range $name, $value := .flags -}}
{{- $flag := include "program.flagName" $name -}}
{{- with get $.own $flag }}{{ fail (printf "%s.%s: set %s instead" $.place $name .) }}{{ end -}}
{{- if not (hasKey $known $flag) }}{{ fail (printf "%s.%s: `%s` has no flag --%s" $.place $name $.command $flag) }}{{ end -}}
{{- $text := kindIs "string" $value | ternary $value (toJson $value) -}}
{{- with get $kinds (get $known $flag) -}}
{{- if not (regexMatch (first .) $text) }}{{ fail (printf "%s.%s is %s: it must be %s" $.place $name $text (last .)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The image is no other program's: a file of the reference's values names the reference's, which takes other arguments and ends at once. */ -}}
{{- define "program.validateImage" -}}
{{- if regexMatch "^registry[.]k8s[.]io/|(^|/)(gateway-api-inference-extension/(epp|lwepp|bbr)|llm-d-[^/]*)(:|@|$)" .image -}}
{{- fail (printf "%s names %s, which is another program: this chart runs Pointsman; remove %s from your values, or name Pointsman's image there" .place .image .place) -}}
{{- end -}}
{{- end -}}

{{- /* One process listens on all of these ports: pairs of a value's name and its number. */ -}}
{{- define "program.validatePorts" -}}
{{- $taken := dict -}}
{{- range $port := . -}}
{{- $number := last $port | toJson -}}
{{- with get $taken $number }}{{ fail (printf "%s is %s, and so is %s: each takes a port of its own" (first $port) $number .) }}{{ end -}}
{{- $_ := set $taken $number (first $port) -}}
{{- end -}}
{{- end -}}

{{- /* How long a Pod has to end: the lame-duck time, the time that --drain-timeout gives to streams under way, and 10 s more. */ -}}
{{- define "program.gracePeriodSeconds" -}}
{{- $drain := "120s" -}}
{{- range $name, $value := .flags -}}
{{- if eq (include "program.flagName" $name) "drain-timeout" }}{{ $drain = toString $value }}{{ end -}}
{{- end -}}
{{- $milliseconds := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(h|ms|m|s)" (print .lameDuck $drain) -1 -}}
{{- $unit := regexReplaceAll "[0-9]+" . "" -}}
{{- $sum = trimSuffix $unit . | atoi | mul (get $milliseconds $unit) | add $sum -}}
{{- end -}}
{{ add (div (add $sum 999) 1000) 10 }}
{{- end -}}

{{- /* Istio's OutlierDetection, by what a gateway that fails open or closed needs. */ -}}
{{- define "program.outlierDetection" -}}
{{- $detection := deepCopy .detection -}}
{{- if not (hasKey $detection "minHealthPercent") -}}
{{- $_ := set $detection "minHealthPercent" (eq .failureMode "FailOpen" | ternary 0 1) -}}
{{- end -}}
{{- toYaml $detection -}}
{{- end -}}
