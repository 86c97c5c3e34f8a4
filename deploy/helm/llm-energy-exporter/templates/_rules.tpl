{{/* An alert as the values want it: {} if it is off.  root: the chart;  rule: as in files/rules */}}
{{- define "llm-energy-exporter.alert" -}}
{{- $wanted := get .root.Values.prometheusRule.alerts .rule.alert | default dict -}}
{{- if ne (toString (get $wanted "enabled")) "false" -}}
{{- $rule := deepCopy .rule -}}
{{- $labels := merge (deepCopy .root.Values.prometheusRule.alertLabels) ($rule.labels | default dict) -}}
{{- with $wanted.severity }}{{ $_ := set $labels "severity" . }}{{ end -}}
{{- $_ := set $rule "labels" $labels -}}
{{- with $wanted.for }}{{ $_ := set $rule "for" . }}{{ end -}}
{{- if and .root.Values.prometheusRule.runbookUrl ($rule.annotations).runbook_url -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" .root.Values.prometheusRule.runbookUrl) (base $rule.annotations.runbook_url)) -}}
{{- end -}}
{{- toYaml $rule -}}
{{- end -}}
{{- end -}}

{{/* A group with the rules that are wanted; its `rules` may be empty.  root: the chart;  group: as in files/rules */}}
{{- define "llm-energy-exporter.group" -}}
{{- $rules := list -}}
{{- $root := .root -}}
{{- range .group.rules -}}
{{- if .record -}}
{{- if $root.Values.prometheusRule.recording }}{{ $rules = append $rules . }}{{ end -}}
{{- else -}}
{{- with include "llm-energy-exporter.alert" (dict "root" $root "rule" .) | fromYaml }}{{ $rules = append $rules . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $group := deepCopy .group -}}
{{- $_ := set $group "rules" $rules -}}
{{- toYaml $group -}}
{{- end -}}

{{- define "llm-energy-exporter.groups" -}}
{{- $groups := list -}}
{{- $root := . -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yml" -}}
{{- range ($root.Files.Get $path | fromYaml).groups -}}
{{- $group := include "llm-energy-exporter.group" (dict "root" $root "group" .) | fromYaml -}}
{{- if $group.rules }}{{ $groups = append $groups $group }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
