package mutants

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// root is the module's, seen from the folder in which a test runs.
const root = "../.."

// A mutant is one file of testdata.
type mutant struct {
	name  string // of the file, without its ending
	title string
	why   string
	dies  []string // package, test, arguments
	short bool     // in make test
	edits []edit
}

type edit struct{ file, old, new string }

// load reads every mutant, in the order of their names.
func load() ([]mutant, error) {
	files, err := filepath.Glob("testdata/*.mutant")
	if err != nil {
		return nil, err
	}
	var all []mutant
	var bad []error
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		m, err := parse(string(text))
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", f, err))
		}
		m.name = strings.TrimSuffix(filepath.Base(f), ".mutant")
		all = append(all, m)
	}
	return all, errors.Join(bad...)
}

// parse reads the form that doc.go shows.
func parse(text string) (m mutant, err error) {
	var into *string // where the lines of a text go
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if body, ok := strings.CutPrefix(line, "\t"); (ok || line == "") && into != nil {
			*into += body + "\n"
			continue
		}
		word, rest, _ := strings.Cut(line, ":")
		rest = strings.TrimSpace(rest)
		switch {
		case word == "title":
			m.title = rest
		case word == "why":
			m.why = rest
		case word == "dies":
			m.dies = strings.Fields(rest)
		case word == "in" && rest == "test":
			m.short = true
		case word == "old":
			m.edits = append(m.edits, edit{file: rest})
			into = &m.edits[len(m.edits)-1].old
		case word == "new" && len(m.edits) > 0:
			into = &m.edits[len(m.edits)-1].new
		default:
			return m, fmt.Errorf("line %d is %q; want title, why, dies, in: test, old: FILE, new: or an indented line", i+1, line)
		}
	}
	if m.title == "" || m.why == "" || len(m.dies) < 2 || len(m.edits) == 0 {
		return m, errors.New("title, why, dies (package and test) and an old text are needed")
	}
	return m, nil
}

// files returns the mutated text of each file that m changes.
func (m mutant) files() (map[string]string, error) {
	out := map[string]string{}
	for _, e := range m.edits {
		text, ok := out[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 || e.old == e.new {
			return nil, fmt.Errorf("the old text is %d times in %s; want once, and another new one:\n%s", n, e.file, e.old)
		}
		out[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return out, nil
}

// overlay writes the mutated files and the list that the go command reads into a
// folder, and returns the list's name.
func (m mutant) overlay(dir string) (string, error) {
	files, err := m.files()
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range files {
		from, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[from] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}
