package mutants

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// importPath is that of the switches.
const importPath = "github.com/redrive/redrive/internal/sim/planted"

// Plant writes copies of the module's files with all bugs planted into a folder,
// and gives the path of the overlay that `go build -overlay` takes. root is the
// module's root.
func Plant(root, folder string) (overlay string, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, file := range plantedFiles() {
		path := filepath.Join(root, filepath.FromSlash(file))
		source, err := os.ReadFile(path) //nolint:gosec // files of this module, named by the table
		if err != nil {
			return "", err
		}
		planted, err := plantFile(file, string(source))
		if err != nil {
			return "", err
		}
		copied := filepath.Join(folder, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(copied, []byte(planted), 0o600); err != nil { //nolint:gosec // its name is from the table too
			return "", err
		}
		replace[path] = copied
	}
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// plantedFiles lists the files that any bug is in.
func plantedFiles() []string {
	var files []string
	for _, b := range Bugs() {
		for _, e := range b.Edits {
			if !slices.Contains(files, e.File) {
				files = append(files, e.File)
			}
		}
	}
	slices.Sort(files)
	return files
}

// place is one edit where it stands in a file.
type place struct {
	bug      int
	name     string
	edit     Edit
	from, to int
}

// plantFile gives a file's text with all of its bugs as choices.
func plantFile(file, source string) (string, error) {
	places, err := placesIn(file, source)
	if err != nil {
		return "", err
	}
	text, rest, err := render(source, 0, len(source), places)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if len(rest) > 0 {
		return "", fmt.Errorf("%s: bug %s is nowhere", file, rest[0].name)
	}
	// Another import declaration may stand before those that are there.
	clause, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	end := int(clause.Name.End()) - 1 // the first byte has position 1
	imports := "import " + strconv.Quote(importPath) + "\n"
	for _, p := range places {
		if p.edit.Import != "" {
			imports += "import " + strconv.Quote(p.edit.Import) + "\n"
		}
	}
	text = text[:end] + "\n\n" + imports + text[end:]
	formatted, err := format.Source([]byte(text))
	if err != nil {
		return "", fmt.Errorf("%s with its bugs planted: %w", file, err)
	}
	return string(formatted), nil
}

// placesIn finds the edits of a file, those that contain others first.
func placesIn(file, source string) ([]place, error) {
	var places []place
	for i, b := range Bugs() {
		for _, e := range b.Edits {
			if e.File != file {
				continue
			}
			if n := strings.Count(source, e.Old); n != 1 {
				return nil, fmt.Errorf("bug %s: its snippet is in %s %d times, not once:\n%s", b.Name, file, n, e.Old)
			}
			if e.New == "" {
				return nil, fmt.Errorf("bug %s: nothing stands in place of\n%s", b.Name, e.Old)
			}
			from := strings.Index(source, e.Old)
			places = append(places, place{i + 1, b.Name, e, from, from + len(e.Old)})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	return places, nil
}

// render writes source[from:to] with its places replaced; what a place replaces
// may have other places in it. rest are the places after it.
func render(source string, from, to int, places []place) (text string, rest []place, err error) {
	var b strings.Builder
	at := from
	for len(places) > 0 && places[0].from < to {
		p := places[0]
		if p.to > to {
			return "", nil, fmt.Errorf("the snippet of bug %s overlaps another one without being part of it", p.name)
		}
		b.WriteString(source[at:p.from])
		var old string
		inside := len(places)
		if old, places, err = render(source, p.from, p.to, places[1:]); err != nil {
			return "", nil, err
		}
		if p.edit.whole() && inside-1 > len(places) && !strings.Contains(p.edit.New, "{old}") {
			return "", nil, fmt.Errorf("bug %s has others inside; say where {old} goes", p.name)
		}
		b.WriteString(p.replaced(old))
		at = p.to
	}
	b.WriteString(source[at:to])
	return b.String(), places, nil
}

// replaced is the choice between a bug and what was there.
func (p place) replaced(old string) string {
	on := fmt.Sprintf("planted.On(%d /* %s */)", p.bug, p.name)
	if p.edit.whole() {
		return strings.NewReplacer("{on}", on, "{old}", old).Replace(p.edit.New)
	}
	return "if " + on + " {\n" + p.edit.New + "\n} else {\n" + old + "\n}\n"
}
