{{/*
A value as CEL. Kubernetes' CEL has no maps of mixed types, so an object is written as Object.path.to.it{...}, its type
named by its path; maps of texts, whose keys are no identifiers, stay maps.

  value: the value;  path: its type's name, such as Object.spec.initContainers
*/}}
{{- define "llm-energy-exporter.cel" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
  {{- $texts := has (splitList "." $path | last) (list "limits" "requests" "matchLabels" "labels" "annotations" "volumeAttributes") -}}
  {{- $parts := list -}}
  {{- range $key, $value := .value -}}
    {{- if kindIs "invalid" $value -}}
    {{- else if $texts -}}
      {{- $parts = append $parts (printf "%s: %s" (toRawJson $key) (toRawJson (toString $value))) -}}
    {{- else -}}
      {{- $parts = append $parts (printf "%s: %s" $key (include "llm-energy-exporter.cel" (dict "value" $value "path" (printf "%s.%s" $path $key)))) -}}
    {{- end -}}
  {{- end -}}
  {{- ternary "" $path $texts -}}{ {{- join ", " $parts -}} }
{{- else if kindIs "slice" .value -}}
  {{- $parts := list -}}
  {{- range .value -}}
    {{- $parts = append $parts (include "llm-energy-exporter.cel" (dict "value" . "path" $path)) -}}
  {{- end -}}
  [{{- join ", " $parts -}}]
{{- else if kindIs "float64" .value -}}
  {{- ternary (printf "%d" (int64 .value)) (toRawJson .value) (eq (floor .value) .value) -}}
{{- else -}}
  {{- toRawJson .value -}}
{{- end -}}
{{- end -}}
