// Package crd holds the resource definitions of Countersign's kinds, as they are installed.
package crd

import "embed"

// Files are the definitions, one a file.
//
//go:embed *.yaml
var Files embed.FS
