package webhooks

import (
	"slices"
	"sync"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/decisionlog"
	"github.com/countersign-dev/countersign/internal/policy"
)

// policyTexts is what is said of the policies that govern an action.
type policyTexts struct {
	policies []*policy.Policy
	windows  []v1alpha1.WindowState
	// record is for the decision log, as decisionlog.AppendPolicies writes it, and hashes for the audit log.
	record, hashes string
	// err is why there is no record.
	err error
}

// holds says whether the texts are about the policies of a decision, in the same state.
func (t *policyTexts) holds(d *policy.Decision) bool {
	return slices.Equal(t.policies, d.Policies) && slices.Equal(t.windows, d.Windows)
}

// policyWriter remembers what it wrote of policies: one agent is governed by the same ones in review after review, and there may
// be a thousand of them. It is safe for concurrent use.
type policyWriter struct {
	mu    sync.RWMutex
	known map[policyKey]*policyTexts
	size  int
}

// policyKey finds texts that may be the right ones.
type policyKey struct {
	first  *policy.Policy
	number int
}

// maxPolicyTexts is the length of all texts that are remembered, in bytes. Where there are more, all are forgotten.
const maxPolicyTexts = 1 << 20

// writtenPolicies are the texts that this process has written.
var writtenPolicies policyWriter

// texts are those of the policies of a decision.
func (w *policyWriter) texts(d *policy.Decision) *policyTexts {
	if len(d.Policies) == 0 {
		return &policyTexts{}
	}
	key := policyKey{d.Policies[0], len(d.Policies)}
	w.mu.RLock()
	known := w.known[key]
	w.mu.RUnlock()
	if known != nil && known.holds(d) {
		return known
	}
	written := writePolicies(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	const perPolicy = 64 // bytes, of what is remembered beside the texts
	size := len(written.record) + len(written.hashes) + perPolicy*len(written.policies)
	if w.size += size; w.known == nil || w.size > maxPolicyTexts {
		w.known, w.size = map[policyKey]*policyTexts{}, size
	}
	w.known[key] = written
	return written
}

func writePolicies(d *policy.Decision) *policyTexts {
	states := make([]decisionlog.Policy, len(d.Policies))
	for i, p := range d.Policies {
		states[i] = decisionlog.Policy{
			Name: p.Name, UID: p.UID, Generation: p.Generation, Hash: p.Hash, Window: string(d.Windows[i]),
		}
	}
	record, err := decisionlog.AppendPolicies(nil, states)
	return &policyTexts{
		policies: slices.Clone(d.Policies), windows: slices.Clone(d.Windows),
		record: string(record), hashes: policyHashes(d), err: err,
	}
}

// policyHashes names the policies that govern the action, each with the hash of what it held: name@hash. It names as many
// as an annotation holds.
func policyHashes(d *policy.Decision) string {
	const usual = 64 // bytes of a name and a hash
	names := make([]byte, 0, min(len(d.Policies)*usual, maxAnnotation+usual))
	for i, p := range d.Policies {
		if len(names) > maxAnnotation {
			break
		}
		if i > 0 {
			names = append(names, ',')
		}
		names = append(append(append(names, p.Name...), '@'), p.Hash...)
	}
	return string(names)
}
