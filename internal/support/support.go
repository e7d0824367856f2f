// Package support says which versions of Kubernetes Countersign works with, and what a version lacks of what it uses.
package support

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// Oldest and Newest are the first and the last minor version with which the tests run: docs/support.md.
const (
	Oldest = "1.34"
	Newest = "1.37"
)

// Standing is how a version stands to those with which the tests run.
type Standing string

// Standings.
const (
	// Unreadable is a version that cannot be read, so that nothing is known about it.
	Unreadable Standing = "Unreadable"
	// TooOld is one before Oldest.
	TooOld Standing = "TooOld"
	// Tested is one from Oldest to Newest.
	Tested Standing = "Tested"
	// Newer is one after Newest.
	Newer Standing = "Newer"
)

// Sealing is whether API servers read admission policies from files, which level 4 of protection needs.
type Sealing string

// Values of Sealing.
const (
	// Sealable API servers do so as they are.
	Sealable Sealing = "Sealable"
	// SealableByGate do so with the feature gate SealingGate, and do not start with such files without it.
	SealableByGate Sealing = "SealableByGate"
	// NotSealable start with such files, ignore them, and do not say so.
	NotSealable Sealing = "NotSealable"
)

// SealingGate is the feature gate by which an API server reads admission policies from files.
const SealingGate = "ManifestBasedAdmissionControlConfig"

// Server is an API server, by the version that it tells.
type Server struct {
	// Version as it was told, such as v1.34.1-gke.100.
	Version  string
	Standing Standing
	Sealing  Sealing
}

// Of judges a version as /version tells it. Of one that cannot be read nothing is assumed.
func Of(gitVersion string) Server {
	s := Server{Version: gitVersion, Standing: Unreadable, Sealing: NotSealable}
	read, err := version.ParseGeneric(gitVersion)
	if err != nil {
		return s
	}
	minor := version.MajorMinor(read.Major(), read.Minor())
	switch {
	case minor.LessThan(version.MustParseGeneric(Oldest)):
		s.Standing = TooOld
	case minor.GreaterThan(version.MustParseGeneric(Newest)):
		s.Standing = Newer
	default:
		s.Standing = Tested
	}
	switch {
	case minor.AtLeast(version.MajorMinor(1, 37)):
		s.Sealing = Sealable
	case minor.AtLeast(version.MajorMinor(1, 36)):
		s.Sealing = SealableByGate
	}
	return s
}

// Notes are what an administrator should know about the version, one sentence each; none for the newest.
func (s Server) Notes() []string {
	var notes []string
	switch s.Standing {
	case Tested:
	case TooOld:
		notes = append(notes, fmt.Sprintf("Countersign needs Kubernetes %s or later", Oldest))
	case Newer:
		notes = append(notes, fmt.Sprintf("Countersign was tested with Kubernetes %s to %s", Oldest, Newest))
	case Unreadable:
		return append(notes, "the version cannot be read, so nothing is known about what it lacks")
	default:
		return append(notes, fmt.Sprintf("the version is %s, which this Countersign does not know", s.Standing))
	}
	switch s.Sealing {
	case Sealable:
	case SealableByGate:
		notes = append(notes, "level 4 of protection needs the feature gate "+SealingGate+" of the API server")
	default:
		notes = append(notes, "level 4 of protection needs Kubernetes 1.37, or 1.36 with a feature gate; level 3 is the highest here")
	}
	return notes
}
