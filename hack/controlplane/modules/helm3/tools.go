//go:build tools

// Package tools pins what is built from this module; it is never compiled.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
