package operatortest

import (
	"bytes"
	"os/exec"
	"testing"
)

// WantLean wants the linker to have dropped methods that nobody calls from a binary. One use of templates, or of reflection that
// finds methods by their names, and it keeps those of all types: half as much again, and so much more memory.
func WantLean(tb testing.TB, binary string) {
	tb.Helper()
	symbols, err := exec.CommandContext(tb.Context(), "go", "tool", "nm", binary).Output()
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte("k8s.io/api/core/v1.(*Pod).DeepCopyObject")) {
		tb.Fatalf("these are not the symbols of %s", binary)
	}
	for _, unused := range []string{"text/template.(*state).evalField", "k8s.io/api/core/v1.Pod.SwaggerDoc"} {
		if bytes.Contains(symbols, []byte(" "+unused+"\n")) {
			tb.Errorf("%s is in the binary: something executes templates, or finds methods by their names (see showUsage)", unused)
		}
	}
}
