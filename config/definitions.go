// Package config holds what is installed with Countersign.
package config

import "embed"

// Definitions are the resource definitions of Countersign's kinds, one a file, in the folder crd.
//
//go:embed crd/*.yaml
var Definitions embed.FS
