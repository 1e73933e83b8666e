{{- define "spikepipe.name" -}}{{ printf "%s-spikepipe" .Release.Name | trunc 50 | trimSuffix "-" }}{{- end }}

{{- define "spikepipe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: spikepipe
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels that select the pods of one component; call with (list . "webserver"). */}}
{{- define "spikepipe.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: spikepipe
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "spikepipe.image" -}}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{- end }}

{{- define "spikepipe.imagePullSecrets" -}}
{{- range .Values.image.pullSecrets }}
- name: {{ . }}
{{- end }}
{{- end }}

{{- define "spikepipe.postgresHost" -}}
{{- if .Values.postgresql.enabled }}{{ include "spikepipe.name" . }}-postgresql{{ else }}{{ required "postgresql.host is needed when postgresql.enabled is false" .Values.postgresql.host }}{{ end }}
{{- end }}

{{- define "spikepipe.postgresSecret" -}}
{{- if .Values.postgresql.existingSecret }}{{ .Values.postgresql.existingSecret }}
{{- else if .Values.postgresql.enabled }}{{ include "spikepipe.name" . }}-postgresql
{{- else }}{{ fail "postgresql.existingSecret is needed when postgresql.enabled is false" }}{{ end }}
{{- end }}

{{/* Environment of every container that runs spikepipe: where things lie, and caches in writable places. */}}
{{- define "spikepipe.environment" -}}
- {name: DAGSTER_HOME, value: /opt/dagster/home}
- {name: SPIKEPIPE_DEPLOYMENT, value: /etc/spikepipe/spikepipe.json}
- {name: SPIKEPIPE_CLUSTER, value: /etc/spikepipe/cluster.json}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
- {name: XDG_CACHE_HOME, value: /tmp/cache}
- {name: NUMBA_CACHE_DIR, value: /tmp/cache/numba}
- {name: MPLCONFIGDIR, value: /tmp/cache/matplotlib}
- {name: HF_HOME, value: {{ printf "%s/%s" .Values.storage.results.mountPath .Values.models.cache | quote }}}
{{- if .Values.models.offline }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
{{- if .Values.ingress.enabled }}
- {name: SPIKEPIPE_UI_URL, value: {{ printf "http%s://%s%s" (ternary "s" "" .Values.ingress.tls.enabled) .Values.ingress.host .Values.webserver.pathPrefix | quote }}}
{{- end }}
{{- with .Values.storage.keep }}
{{- $kept := list }}{{ range $name, $keep := . }}{{ $kept = append $kept (printf "%s=%s" $name $keep) }}{{ end }}
- {name: SPIKEPIPE_KEEP, value: {{ join "," $kept | quote }}}
{{- end }}
{{- if .Values.automation.enabled }}
- {name: SPIKEPIPE_DATA_ROOTS, value: {{ join ":" .Values.automation.roots | quote }}}
- {name: SPIKEPIPE_SETTLE_SECONDS, value: {{ .Values.automation.settleSeconds | toString | quote }}}
- {name: SPIKEPIPE_LOOK_SECONDS, value: {{ .Values.automation.lookSeconds | toString | quote }}}
{{- with .Values.automation.completeMarker }}
- {name: SPIKEPIPE_COMPLETE_MARKER, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "spikepipe.postgresPassword" -}}
- name: DAGSTER_PG_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "spikepipe.postgresSecret" . }}, key: password}}
{{- end }}

{{/* Volumes of the control plane and of steps: the file system of a container is read-only. */}}
{{- define "spikepipe.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: dagster-home, emptyDir: {}}
- {name: settings, configMap: {name: {{ include "spikepipe.name" . }}-settings}}
- name: results
  persistentVolumeClaim: {claimName: {{ .Values.storage.results.existingClaim | default (printf "%s-results" (include "spikepipe.name" .)) }}}
{{- if .Values.storage.data.existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.storage.data.existingClaim }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "spikepipe.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: dagster-home, mountPath: /opt/dagster/home}
- {name: settings, mountPath: /etc/spikepipe, readOnly: true}
- {name: results, mountPath: {{ .Values.storage.results.mountPath }}}
{{- if .Values.storage.data.existingClaim }}
- {name: data, mountPath: {{ .Values.storage.data.mountPath }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The scratch volume of a step's pod. */}}
{{- define "spikepipe.scratchVolume" -}}
{{- if .Values.storage.scratch.existingClaim }}
name: scratch
persistentVolumeClaim: {claimName: {{ .Values.storage.scratch.existingClaim }}}
{{- else }}
name: scratch
emptyDir: {sizeLimit: {{ .Values.storage.scratch.sizeLimit }}}
{{- end }}
{{- end }}

{{/* Dagster reads its instance from DAGSTER_HOME, which it also writes to: two files of a config map in an emptyDir. */}}
{{- define "spikepipe.instanceMounts" -}}
- {name: instance, mountPath: /opt/dagster/home/dagster.yaml, subPath: dagster.yaml, readOnly: true}
- {name: instance, mountPath: /opt/dagster/home/workspace.yaml, subPath: workspace.yaml, readOnly: true}
{{- end }}

{{- define "spikepipe.instanceVolume" -}}
- {name: instance, configMap: {name: {{ include "spikepipe.name" . }}-instance}}
{{- end }}

{{/* A pod of the control plane is started anew when its settings change. */}}
{{- define "spikepipe.checksums" -}}
checksum/instance: {{ include (print $.Template.BasePath "/configmap-instance.yaml") . | sha256sum }}
checksum/settings: {{ include (print $.Template.BasePath "/configmap-settings.yaml") . | sha256sum }}
{{- end }}

{{/* Nobody serves before the database does. */}}
{{- define "spikepipe.waitForPostgres" -}}
- name: wait-for-postgres
  image: {{ include "spikepipe.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  securityContext: {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  command:
    - python
    - -c
    - |
      import socket, time
      address = ({{ include "spikepipe.postgresHost" . | quote }}, {{ .Values.postgresql.port }})
      while True:
          try:
              socket.create_connection(address, timeout=5).close()
              break
          except OSError as error:
              print(f"waiting for {address[0]}:{address[1]}: {error}", flush=True)
              time.sleep(2)
  resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 64Mi}}
{{- end }}
