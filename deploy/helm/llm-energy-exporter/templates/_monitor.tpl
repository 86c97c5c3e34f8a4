{{/* An endpoint of a PodMonitor or a ServiceMonitor.  root: the chart;  monitor: its values */}}
{{- define "llm-energy-exporter.endpoint" -}}
{{- $node := dict "sourceLabels" (list "__meta_kubernetes_pod_node_name") "targetLabel" "node" "action" "replace" -}}
{{- $own := dict
  "port" "energy-metrics"
  "path" "/metrics"
  "scheme" (ternary "https" "http" (not (empty (include "llm-energy-exporter.https" .root))))
  "relabelings" (prepend .monitor.relabelings $node) -}}
{{- with .monitor.interval }}{{ $_ := set $own "interval" . }}{{ end -}}
{{- with .monitor.scrapeTimeout }}{{ $_ := set $own "scrapeTimeout" . }}{{ end -}}
{{- with .monitor.metricRelabelings }}{{ $_ := set $own "metricRelabelings" . }}{{ end -}}
{{- toYaml (list (merge (deepCopy .monitor.endpoint) $own)) -}}
{{- end -}}
