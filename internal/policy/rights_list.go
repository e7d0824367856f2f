package policy

import "slices"

// ReservedRights are the rights that no agent may grant, in words after "the right to", each once: for who looks whether
// agents have them.
func ReservedRights() []string {
	var all []string
	for i := range reservedRights {
		if what := reservedRights[i].what; !slices.Contains(all, what) {
			all = append(all, what)
		}
	}
	return all
}
