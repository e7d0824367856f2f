package controlplane

import (
	"slices"
	"strings"
)

// mergeFlags adds extra flags; a flag given there replaces every default of that
// name, and also the defaults that the API server refuses beside it.
func mergeFlags(defaults, extra []string) []string {
	replaced := map[string]bool{}
	for _, flag := range extra {
		replaced[flagName(flag)] = true
		for _, other := range excludes[flagName(flag)] {
			replaced[other] = true
		}
	}
	kept := slices.DeleteFunc(slices.Clone(defaults), func(flag string) bool { return replaced[flagName(flag)] })
	return append(kept, extra...)
}

var excludes = map[string][]string{
	"authorization-config": {"authorization-mode"},
}

func flagName(flag string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
	return name
}
