package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContainerLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want int64
		ok   bool
	}{
		"512 MiB":         {"536870912\n", 512 << 20, true},
		"none":            {"max\n", 0, false},
		"nothing":         {"", 0, false},
		"a number of two": {"1 2\n", 0, false},
		"zero":            {"0\n", 0, false},
		"too much":        {"9223372036854775808\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "memory.max")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if limit, ok := containerLimit(file); ok != tc.ok || ok && limit != tc.want {
				t.Errorf("%d, %t; want %d, %t", limit, ok, tc.want, tc.ok)
			}
		})
	}
	if _, ok := containerLimit(filepath.Join(t.TempDir(), "missing")); ok {
		t.Error("a file that is not there has a limit")
	}
}
