//go:build tools

// Package tools pins what is built from this module; it is never compiled.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
