package reviewtest

import (
	"encoding/json"
	"testing"
)

// TestMutants wants mutants that repeat with their seed, differ from what they are made of, and are JSON for the most part.
func TestMutants(t *testing.T) {
	t.Setenv("MUTATION_SEED", "7")
	var texts [][]byte
	for _, review := range All(t) {
		texts = append(texts, review.Body)
	}
	mutants, again := Mutants(t, texts, 200), Mutants(t, texts, 200)
	if len(mutants) != 200 {
		t.Fatalf("%d mutants", len(mutants))
	}
	original := map[string]bool{}
	for _, text := range texts {
		original[string(text)] = true
	}
	valid, same := 0, 0
	for i := range mutants {
		if string(mutants[i]) != string(again[i]) {
			t.Fatalf("mutant %d differs with the same seed", i)
		}
		if json.Valid(mutants[i]) {
			valid++
		}
		if original[string(mutants[i])] {
			same++
		}
	}
	if valid < 50 || valid > 190 || same > 20 {
		t.Errorf("of 200 mutants %d are JSON and %d unchanged", valid, same)
	}
}
