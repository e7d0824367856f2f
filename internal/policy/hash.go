package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/countersign-dev/countersign/api/v1alpha1"
)

// HashVersion begins every policy hash. Bump it whenever the same spec would give another hash, a new defaulted
// field included: what was approved or recorded under the old hash is then known to be of another kind.
const HashVersion = "p1"

// hashSpec identifies the meaning of a spec: everything but the descriptions and reasons that people read.
func hashSpec(spec *v1alpha1.AgentActionPolicySpec) string {
	meaning := spec.DeepCopy()
	for i := range meaning.Tasks {
		meaning.Tasks[i].Description = ""
	}
	for i := range meaning.Freezes {
		meaning.Freezes[i].Reason = ""
	}
	text, err := json.Marshal(meaning)
	if err != nil {
		// A spec that came from the API server always marshals. An empty hash equals no recorded one.
		return ""
	}
	sum := sha256.Sum256(text)
	return HashVersion + ":" + hex.EncodeToString(sum[:16])
}

// identify makes one hash of which policies these are, and at which generation. They are sorted by name.
func identify(policies []*Policy) string {
	sum := sha256.New()
	for _, p := range policies {
		fmt.Fprintf(sum, "%q %q %d\n", p.Name, p.UID, p.Generation)
		if len(p.Unknown) > 0 {
			fmt.Fprintf(sum, "%q\n", p.Unknown) // others, who know the fields, decide otherwise
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
