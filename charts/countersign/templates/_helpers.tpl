{{/* Name of the objects. */}}
{{- define "countersign.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "countersign.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "countersign.labels" -}}
{{ include "countersign.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "countersign.serviceAccount" -}}
{{- default (ternary (include "countersign.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "countersign.service" -}}
{{ include "countersign.fullname" . }}-webhook
{{- end -}}

{{- define "countersign.certSecret" -}}
{{ include "countersign.fullname" . }}-webhook-cert
{{- end -}}

{{/* The Secret with the authority that the chart has cert-manager make; empty where there is none. */}}
{{- define "countersign.authoritySecret" -}}
{{- if and (eq .Values.certificates.mode "cert-manager") (not .Values.certificates.certManager.issuerRef) -}}
{{ include "countersign.fullname" . }}-authority
{{- end }}
{{- end }}

{{/* The Secret in which somebody else keeps the certificate; empty where the operator makes it. */}}
{{- define "countersign.providedCertSecret" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
{{ include "countersign.fullname" . }}-provided-cert
{{- else if eq .Values.certificates.mode "existing-secret" -}}
{{ .Values.certificates.existingSecret }}
{{- end -}}
{{- end -}}

{{/* The object that owns the webhook configurations: when it goes, they go. */}}
{{- define "countersign.anchor" -}}
{{ include "countersign.fullname" . }}-anchor
{{- end -}}

{{/* The service account as which the operator finds out that agents are refused. There is no such account. */}}
{{- define "countersign.canary" -}}
{{ include "countersign.fullname" . }}-canary
{{- end -}}

{{- define "countersign.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/*
Whether the chart is rendered for a cluster that Helm has asked what it serves, as opposed to helm template. All
clusters serve this group, and Helm does not assume it of a cluster that it has not asked.
*/}}
{{- define "countersign.inCluster" -}}
{{- if .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1" }}true{{ end -}}
{{- end -}}
