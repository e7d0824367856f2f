package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/countersign-dev/countersign/api/v1alpha1"
	"github.com/countersign-dev/countersign/internal/window"
)

// pages are the documents for readers, generated ones left out.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"../README.md", "../AGENTS.md", "../CONTRIBUTING.md", "../SECURITY.md", "README.md"}
	err := filepath.WalkDir("../docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" && filepath.Base(path) != "api.md" {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fenced = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// documents applies every policy that a document shows whole, by a dry run. The only thing to be warned of is that a
// date in it has passed.
func documents(t *testing.T, c *cluster) {
	t.Helper()
	found := 0
	for _, page := range pages(t) {
		for _, block := range fenced.FindAllStringSubmatch(read(t, page), -1) {
			if !strings.Contains(block[1], "kind: AgentActionPolicy\n") {
				continue
			}
			found++
			output, err := c.try(t, "", block[1], "kubectl apply --dry-run=server -f -")
			if err != nil {
				t.Errorf("%s shows a policy that is refused: %s\n%s", page, output, block[1])
			}
			for line := range strings.Lines(output) {
				if strings.HasPrefix(line, "Warning") && !strings.Contains(line, "lies in the past") {
					t.Errorf("%s shows a policy with a warning: %s%s", page, line, block[1])
				}
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d policies found in the documents", found)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows every link from one document to another file, and to a heading in it.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
				continue
			}
			if anchor != "" && !anchors(read(t, path))[anchor] {
				t.Errorf("%s links to %s: there is no such heading", page, found[1])
			}
		}
	}
}

var (
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notAnchor = regexp.MustCompile("[^a-z0-9 _-]")
	place     = regexp.MustCompile(`<a id="([a-z-]+)"></a>`)
)

// anchors are the headings of a document in the form in which code hosts link to them, and the places that it names.
func anchors(text string) map[string]bool {
	set := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		set[strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")] = true
	}
	for _, found := range place.FindAllStringSubmatch(text, -1) {
		set[found[1]] = true
	}
	return set
}

// row is a line of a table in docs/change-windows.md: an instant, what a clock on the wall shows, and the state of the
// window defined above the table.
var row = regexp.MustCompile("(?m)^\\| `([0-9]{4}-[^`]+)` \\| ([^|]+) \\| (open|closed) \\|$")

// clock is how the tables write the wall clock.
const clock = "Mon 15:04:05 MST"

// TestChangeWindowTables holds the tables of docs/change-windows.md against the code that decides.
func TestChangeWindowTables(t *testing.T) {
	text := read(t, "../docs/change-windows.md")
	rows := 0
	blocks := fenced.FindAllStringSubmatchIndex(text, -1)
	for i, at := range blocks {
		end := len(text)
		if i+1 < len(blocks) {
			end = blocks[i+1][0]
		}
		table := row.FindAllStringSubmatch(text[at[1]:end], -1)
		if len(table) == 0 {
			continue
		}
		rows += len(table)
		checkTable(t, text[at[2]:at[3]], table)
	}
	if rows < 20 {
		t.Errorf("only %d rows found", rows)
	}
}

func checkTable(t *testing.T, definition string, table [][]string) {
	t.Helper()
	var spec v1alpha1.AgentActionPolicySpec
	if err := yaml.UnmarshalStrict([]byte(definition), &spec); err != nil || len(spec.Windows) != 1 {
		t.Fatalf("reading the window above a table: %v\n%s", err, definition)
	}
	zone, err := window.LoadZone(spec.TimeZone)
	if err != nil {
		t.Fatalf("%v\n%s", err, definition)
	}
	schedule, problems := window.Compile(spec.Windows[0], zone, field.NewPath("windows"))
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, definition)
	}
	for _, cells := range table {
		instant, err := time.Parse(time.RFC3339, cells[1])
		if err != nil {
			t.Error(err)
			continue
		}
		if shown := instant.In(zone).Format(clock); shown != cells[2] {
			t.Errorf("%s: the clock shows %s, not %s", cells[1], shown, cells[2])
		}
		if got, want := schedule.Open(instant), cells[3] == "open"; got != want {
			t.Errorf("%s in %s: open is %t, the table says %t", cells[1], schedule, got, want)
		}
	}
}
