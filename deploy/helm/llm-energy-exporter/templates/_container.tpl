{{/* The exporter's container, alike in DaemonSets and sidecars, and its volumes. */}}

{{- define "llm-energy-exporter.container" -}}
name: llm-energy-exporter
image: {{ include "llm-energy-exporter.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: {{ toJson (concat (list "run" "--config" "/etc/llm-energy-exporter/config.yaml") .Values.extraArgs) }}
ports:
  - name: energy-metrics
    containerPort: {{ include "llm-energy-exporter.port" . }}
    protocol: TCP
  {{- range include "llm-energy-exporter.proxyPorts" . | fromYamlArray }}
  - name: {{ .name }}
    containerPort: {{ .port }}
    protocol: TCP
  {{- end }}
env:
  - name: NODE_NAME
    valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}
  - name: POD_NAME
    valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
  {{- if eq .Values.gpu.access "runtime" }}
  - name: NVIDIA_VISIBLE_DEVICES
    value: {{ .Values.gpu.visibleDevices | quote }}
  - name: NVIDIA_DRIVER_CAPABILITIES
    value: utility
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: llm-energy-exporter-config
    mountPath: /etc/llm-energy-exporter
    readOnly: true
  {{- if .Values.state.enabled }}
  - name: llm-energy-exporter-state
    mountPath: /var/lib/llm-energy-exporter
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.livenessProbe }}
livenessProbe:
  {{- include "llm-energy-exporter.probe" (dict "root" $ "path" "/-/healthy") | nindent 2 }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $resources := deepCopy (.Values.resources | default dict) }}
{{- if eq .Values.gpu.access "claim" }}
{{- $_ := set $resources "claims" (list (dict "name" .Values.gpu.claim.name)) }}
{{- end }}
{{- with $resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where probes have to authenticate, they can only see whether somebody listens. */}}
{{- define "llm-energy-exporter.probe" -}}
{{- if include "llm-energy-exporter.probesAreClosed" .root -}}
tcpSocket: {port: energy-metrics}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: energy-metrics
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty (include "llm-energy-exporter.https" .root))) }}
{{- end -}}
{{- end -}}

{{- define "llm-energy-exporter.volumes" -}}
- name: llm-energy-exporter-config
  projected:
    sources:
      - configMap:
          name: {{ include "llm-energy-exporter.fullname" . }}
          items: [{key: config.yaml, path: config.yaml}]
      {{- if .Values.web.enabled }}
      - secret:
          name: {{ include "llm-energy-exporter.webSecret" . }}
          items: [{key: web.yaml, path: web.yaml}]
      {{- end }}
      {{- with .Values.web.tlsSecret }}
      - secret:
          name: {{ . }}
          items:
            - {key: tls.crt, path: tls/tls.crt}
            - {key: tls.key, path: tls/tls.key}
      - secret:
          name: {{ . }}
          optional: true
          items: [{key: ca.crt, path: tls/ca.crt}]
      {{- end }}
{{- if .Values.state.enabled }}
- name: llm-energy-exporter-state
  {{- if .Values.state.volume }}
  {{- toYaml .Values.state.volume | nindent 2 }}
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.state.sizeLimit }}}
  {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
For charts of your own: the sidecar as an entry of `initContainers` (or of `containers`, with sidecar.native false).

  dependencies: [{name: llm-energy-exporter, version: ..., repository: ...}]     # values: mode sidecar, injection off

  initContainers:
    {{- include "llm-energy-exporter.sidecar" (index .Subcharts "llm-energy-exporter") | nindent 8 }}
  volumes:
    {{- include "llm-energy-exporter.sidecar.volumes" (index .Subcharts "llm-energy-exporter") | nindent 8 }}

The pod brings the volume named by sidecar.logVolume, and the labels sidecar.podLabels.
*/}}
{{- define "llm-energy-exporter.sidecar" -}}
{{- $container := include "llm-energy-exporter.container" . | fromYaml -}}
{{- if .Values.sidecar.native -}}{{- $_ := set $container "restartPolicy" "Always" -}}{{- end -}}
{{- $mount := include "llm-energy-exporter.sidecar.logMount" . | fromYaml -}}
{{- $_ := set $container "volumeMounts" (append $container.volumeMounts $mount) -}}
{{- toYaml (list $container) -}}
{{- end -}}

{{- define "llm-energy-exporter.sidecar.logMount" -}}
name: {{ .Values.sidecar.logVolume.name }}
mountPath: {{ .Values.sidecar.logVolume.mountPath }}
readOnly: true
{{- end -}}

{{- define "llm-energy-exporter.sidecar.volumes" -}}
{{- include "llm-energy-exporter.volumes" . -}}
{{- end -}}
