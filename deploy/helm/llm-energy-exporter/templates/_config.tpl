{{/* What `config` comes to, and what the rest of the chart has to know of it. */}}

{{- define "llm-energy-exporter.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.state.enabled (not (hasKey $config "state_dir")) -}}
{{- $_ := set $config "state_dir" "/var/lib/llm-energy-exporter" -}}
{{- end -}}
{{- if .Values.web.enabled -}}
{{- $_ := set $config "web" (merge (dict "config_file" "/etc/llm-energy-exporter/web.yaml") ($config.web | default dict)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The number after an address's last colon. */}}
{{- define "llm-energy-exporter.portOf" -}}
{{- regexFind "[0-9]+$" (toString .) -}}
{{- end -}}

{{- define "llm-energy-exporter.port" -}}
{{- $listen := .Values.config.listen | default "0.0.0.0:9460" -}}
{{- if regexMatch "^(127\\.|localhost|\\[::1\\])" $listen -}}
{{- fail (printf "config.listen: %q is reached from inside the pod only, so neither probes nor Prometheus get an answer" $listen) -}}
{{- end -}}
{{- $port := include "llm-energy-exporter.portOf" $listen -}}
{{- if or (not $port) (eq $port "0") -}}
{{- fail (printf "config.listen: must end in a port that is fixed, not %q" $listen) -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{/* Every entry of every server's `requests`, whether a mapping or a list of them. */}}
{{- define "llm-energy-exporter.requests" -}}
{{- $all := list -}}
{{- range .Values.config.servers -}}
{{- $requests := .requests | default list -}}
{{- if kindIs "map" $requests -}}{{- $requests = list $requests -}}{{- end -}}
{{- range $requests -}}{{- $all = append $all . -}}{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Ports of reverse proxies: [{name, port}]. */}}
{{- define "llm-energy-exporter.proxyPorts" -}}
{{- $ports := list -}}
{{- range include "llm-energy-exporter.requests" . | fromYamlArray -}}
{{- if eq .source "proxy" -}}
{{- $name := ternary "energy-proxy" (printf "energy-proxy%d" (len $ports)) (empty $ports) -}}
{{- $port := include "llm-energy-exporter.portOf" (.listen | default "0.0.0.0:8080") -}}
{{- $ports = append $ports (dict "name" $name "port" (int $port)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}

{{/* What is read from the Kubernetes API: {namespace: whether pods are listed there}. */}}
{{- define "llm-energy-exporter.podLogs" -}}
{{- $read := dict -}}
{{- $here := .Release.Namespace -}}
{{- range include "llm-energy-exporter.requests" . | fromYamlArray -}}
{{- with .kubernetes -}}
{{- $namespace := .namespace | default $here -}}
{{- $_ := set $read $namespace (or (get $read $namespace | default false) (not (empty .selector))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $read -}}
{{- end -}}

{{- define "llm-energy-exporter.asksOthers" -}}
{{- $asks := not (empty ((.Values.config.power).dcgm).url) -}}
{{- range .Values.config.servers -}}{{- if .metrics_url -}}{{- $asks = true -}}{{- end -}}{{- end -}}
{{- range include "llm-energy-exporter.requests" . | fromYamlArray -}}
{{- if or .kubernetes (eq .source "proxy") -}}{{- $asks = true -}}{{- end -}}
{{- end -}}
{{- if $asks -}}true{{- end -}}
{{- end -}}

{{- define "llm-energy-exporter.https" -}}
{{- if .Values.web.enabled -}}
{{- $told := .Values.web.https -}}
{{- if kindIs "invalid" $told -}}{{- $told = hasKey .Values.web.config "tls_server_config" -}}{{- end -}}
{{- if $told -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a probe gets in: with web.probes `closed` it cannot know the password. */}}
{{- define "llm-energy-exporter.probesAreClosed" -}}
{{- if and .Values.web.enabled (eq ((.Values.config.web).probes | default "open") "closed") -}}true{{- end -}}
{{- end -}}

{{- define "llm-energy-exporter.webSecret" -}}
{{- .Values.web.existingSecret | default (printf "%s-web" (include "llm-energy-exporter.fullname" .)) -}}
{{- end -}}

{{/* What no schema can say, with the key named. */}}
{{- define "llm-energy-exporter.check" -}}
{{- $logs := include "llm-energy-exporter.podLogs" . | fromYaml -}}
{{- if and (eq .Values.mode "sidecar") .Values.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled: not with mode sidecar, where it would cut off the server in the same pod" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "serviceMonitor.enabled: not beside podMonitor.enabled, or every pod is scraped and counted twice" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) -}}
{{- fail "serviceMonitor.enabled: needs service.enabled" -}}
{{- end -}}
{{- if and .Values.web.enabled (not .Values.web.config) (not .Values.web.existingSecret) -}}
{{- fail "web.enabled: needs web.config or web.existingSecret" -}}
{{- end -}}
{{- if and $logs (eq .Values.mode "sidecar") .Values.rbac.create (not .Values.rbac.serviceAccounts) -}}
{{- fail "rbac.serviceAccounts: config reads pods/log, and sidecars read with their pods' ServiceAccounts: name them, or set rbac.create to false" -}}
{{- end -}}
{{- if and (eq .Values.gpu.access "claim") (eq .Values.mode "daemonset") (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "gpu.access: claim needs Kubernetes 1.34 or later (resource.k8s.io/v1)" -}}
{{- end -}}
{{- end -}}
