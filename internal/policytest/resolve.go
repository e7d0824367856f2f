package policytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

func newLineReader(text []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(text)) }

// folder is where the paths of a suite begin.
type folder string

// all reads every object that manifests name: files, patterns, the manifests of folders, and what is written in place.
func (f folder) all(manifests []Manifest, what string) ([]map[string]any, error) {
	var objects []map[string]any
	for i, m := range manifests {
		if m.Object != nil {
			objects = append(objects, flatten(m.Object)...)
			continue
		}
		files, err := f.files(m.Path)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", what, i, err)
		}
		for _, file := range files {
			found, err := objectsIn(file)
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", what, i, err)
			}
			objects = append(objects, found...)
		}
	}
	return objects, nil
}

// files are those that a path names: the file, the manifests right in a folder, or what a pattern matches.
func (f folder) files(path string) ([]string, error) {
	if path == "" {
		return nil, errors.New("neither a path nor an object")
	}
	full := f.join(path)
	if info, err := os.Stat(full); err == nil {
		if !info.IsDir() {
			return []string{full}, nil
		}
		full = filepath.Join(full, "*")
	}
	matches, err := filepath.Glob(full)
	if err != nil {
		return nil, fmt.Errorf("reading the pattern %s: %w", path, err)
	}
	matches = slices.DeleteFunc(matches, func(file string) bool { return !isManifest(file) })
	if len(matches) == 0 {
		return nil, fmt.Errorf("no such file: %s", path)
	}
	return matches, nil
}

func (f folder) join(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(string(f), path)
}

// one reads the only object that a manifest names, or the only one that fits. Nil names none.
func (f folder) one(m *Manifest, fits func(map[string]any) bool) (map[string]any, error) {
	switch {
	case m == nil:
		return nil, nil
	case m.Object != nil:
		return m.Object, nil
	case m.Path == "":
		return nil, errors.New("neither a path nor an object")
	}
	objects, err := objectsIn(f.join(m.Path))
	if err != nil {
		return nil, err
	}
	if len(objects) > 1 {
		objects = slices.DeleteFunc(objects, func(o map[string]any) bool { return !fits(o) })
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%s holds %d objects that may be meant: say resource and name", m.Path, len(objects))
	}
	return objects[0], nil
}

// ReadObjects reads the objects of a file, or of the files right in a folder.
func ReadObjects(path string) ([]map[string]any, error) {
	return folder("").all([]Manifest{{Path: path}}, "objects")
}
