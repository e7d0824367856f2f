package policytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	sigsjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/action"
)

// document is one YAML document of a file, as JSON.
type document struct {
	json []byte
	head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
}

// Find lists the files of tests below a path: the file itself, or those of a folder and the folders below it that hold a
// document of the kind PolicyTest, in order.
func Find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isManifest(file) {
			return err
		}
		text, err := os.ReadFile(file) //nolint:gosec // whoever tests policies reads their own files
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte(Kind)) && holdsSuite(text) {
			found = append(found, file)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no file below %s holds a %s of %s", path, Kind, v1alpha1.GroupVersion)
	}
	return found, err
}

func isManifest(file string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file))
}

// holdsSuite says whether one of the documents is a test. What cannot be read is not one: templates stand beside tests.
func holdsSuite(text []byte) bool {
	documents, err := split(text)
	return err == nil && slices.ContainsFunc(documents, document.isSuite)
}

func (d document) isSuite() bool {
	return d.head.Kind == Kind && strings.HasPrefix(d.head.APIVersion, v1alpha1.GroupName+"/")
}

// Load reads the suites of a file. Documents of other kinds are passed over.
func Load(file string) ([]*Suite, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	documents, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	var suites []*Suite
	for _, d := range documents {
		if !d.isSuite() {
			continue
		}
		s := &Suite{}
		if err := decodeStrictly(d.json, s); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("reading %s: it holds no document of kind %s and apiVersion %s", file, Kind, v1alpha1.GroupVersion)
	}
	return suites, nil
}

// decodeStrictly reads JSON with the very names of fields. All fields that are not known are errors, with their paths.
func decodeStrictly(text []byte, into any) error {
	unknown, err := sigsjson.UnmarshalStrict(text, into)
	if err != nil {
		return clearer(err)
	}
	return errors.Join(unknown...)
}

// clearer takes the words of the libraries off an error.
func clearer(err error) error {
	text := err.Error()
	for _, prefix := range []string{"error unmarshaling JSON: ", "error converting YAML to JSON: ", "while decoding JSON: ", "json: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return errors.New(text)
}

func (s *Suite) check() error {
	if s.APIVersion != v1alpha1.GroupVersion.String() {
		return fmt.Errorf("apiVersion %s: this version reads %s", s.APIVersion, v1alpha1.GroupVersion)
	}
	if len(s.Policies) == 0 {
		return errors.New("policies: name at least one file, folder or pattern, or write a policy here")
	}
	if len(s.Cases) == 0 {
		return errors.New("cases: write at least one")
	}
	names := map[string]bool{}
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("cases[%d]: every case needs a name of its own, and %q is not", i, c.Name)
		}
		names[c.Name] = true
		if (c.Action == nil) == (c.Review == nil) {
			return fmt.Errorf("case %q: write one of action and review", c.Name)
		}
	}
	return nil
}

// split reads YAML or JSON, of one or several documents. Keys given twice are errors.
func split(text []byte) ([]document, error) {
	reader := utilyaml.NewYAMLReader(newLineReader(text))
	var all []document
	for {
		part, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var d document
		if d.json, err = yaml.YAMLToJSONStrict(part); err != nil {
			return nil, clearer(err)
		}
		if bytes.Equal(bytes.TrimSpace(d.json), []byte("null")) {
			continue // comments only
		}
		if err := yaml.Unmarshal(d.json, &d.head); err != nil {
			return nil, clearer(err)
		}
		all = append(all, d)
	}
}

// objectsIn reads all objects of a file.
func objectsIn(file string) ([]map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return objectsOf(text, file)
}

// objectsOf reads all objects of a text, which comes from somewhere.
func objectsOf(text []byte, file string) ([]map[string]any, error) {
	documents, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	var all []map[string]any
	for _, d := range documents {
		object, err := action.DecodeObject(d.json)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		all = append(all, flatten(object)...)
	}
	return all, nil
}

// flatten takes a list of objects, as clients print it, apart.
func flatten(object map[string]any) []map[string]any {
	items, isList := object["items"].([]any)
	if kind, _ := object["kind"].(string); !isList || !strings.HasSuffix(kind, "List") {
		return []map[string]any{object}
	}
	var all []map[string]any
	for _, item := range items {
		if one, ok := item.(map[string]any); ok {
			all = append(all, one)
		}
	}
	return all
}
