package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// citation is how a comment names a place of docs/spec.md: "spec 3", "spec 3.6",
// "rule 5 of spec 3", "the rules 2 to 7 of spec 3". A rule without a section is one of
// Continue.
var (
	citation  = regexp.MustCompile(`\b[Ss]pec ([0-9]+)(?:\.([0-9]+))?`)
	ruleCited = regexp.MustCompile(`\b[Rr]ules? ([0-9]+)(?: (?:to|and) ([0-9]+))?(?: of spec ([0-9]+))?`)
	invariant = regexp.MustCompile(`\bI([0-9]+)\b`)
)

const rulesOfContinue = 3

// specification is what can be cited of docs/spec.md.
type specification struct {
	rules      map[int]map[int]bool // of each section
	invariants map[int]bool
}

func readSpecification(t *testing.T) specification {
	t.Helper()
	s := specification{rules: map[int]map[int]bool{}, invariants: map[int]bool{}}
	section := 0
	for _, line := range strings.Split(readFile(t, "docs/spec.md"), "\n") {
		if m := regexp.MustCompile(`^## ([0-9]+)\. `).FindStringSubmatch(line); m != nil {
			section = number(t, m[1])
			require.NotContains(t, s.rules, section, "section %d is there twice", section)
			s.rules[section] = map[int]bool{}
		}
		if m := regexp.MustCompile(`^([0-9]+)\. `).FindStringSubmatch(line); m != nil {
			s.rules[section][number(t, m[1])] = true
		}
		if m := regexp.MustCompile(`^\| I([0-9]+) \|`).FindStringSubmatch(line); m != nil {
			s.invariants[number(t, m[1])] = true
		}
	}
	return s
}

// missing gives what a text cites and the specification does not have, and how much it
// cites.
func (s specification) missing(t *testing.T, text string) (missing []string, cited int) {
	t.Helper()
	for _, m := range citation.FindAllStringSubmatch(text, -1) {
		cited++
		section := number(t, m[1])
		if s.rules[section] == nil || m[2] != "" && !s.rules[section][number(t, m[2])] {
			missing = append(missing, m[0])
		}
	}
	for _, m := range ruleCited.FindAllStringSubmatch(text, -1) {
		cited++
		section := rulesOfContinue
		if m[3] != "" {
			section = number(t, m[3])
		}
		for _, rule := range m[1:3] {
			if rule != "" && !s.rules[section][number(t, rule)] {
				missing = append(missing, m[0])
			}
		}
	}
	for _, m := range invariant.FindAllStringSubmatch(text, -1) {
		cited++
		if !s.invariants[number(t, m[1])] {
			missing = append(missing, m[0])
		}
	}
	return missing, cited
}

// Every citation in a comment names a section, rule or invariant of docs/spec.md.
func TestCitationsOfTheSpecification(t *testing.T) {
	t.Parallel()
	spec := readSpecification(t)
	require.Len(t, spec.invariants, 12)
	cited := 0
	for _, path := range sources(t, ".go", ".sql") {
		missing, n := spec.missing(t, comments(t, filepath.Ext(path), readFile(t, path)))
		require.Empty(t, missing, "%s cites what docs/spec.md does not have", path)
		cited += n
	}
	require.Greater(t, cited, 50, "citations are not found any more")
}

func TestCitationsThatAreWrong(t *testing.T) {
	t.Parallel()
	spec := readSpecification(t)
	for text, wrong := range map[string][]string{
		"(spec 3)":                    nil,
		"see spec 3.6 and spec 10":    nil,
		"rule 5 of spec 3":            nil,
		"rules 2 to 7 of spec 3":      nil,
		"I12 holds":                   nil,
		"spec 99":                     {"spec 99"},
		"spec 3.11":                   {"spec 3.11"},
		"rule 1 of spec 99":           {"spec 99", "rule 1 of spec 99"},
		"the rules 2 to 17 of spec 3": {"rules 2 to 17 of spec 3"},
		"blocked by rule 42":          {"rule 42"},
		"as I13 says":                 {"I13"},
		comments(t, ".go", "package p\n\n// F (spec\n// 99).\nfunc F() {}\n"): {"spec 99"},
		comments(t, ".go", "package p\n\nvar X = `// spec 99`\n"):             nil,
		comments(t, ".sql", "-- (spec\n-- 99)"):                               {"spec 99"},
	} {
		missing, _ := spec.missing(t, text)
		require.Equal(t, wrong, missing, text)
	}
}

// comments gives the text of a file's comments, each group of lines as one line, so that
// a citation may be broken over two.
func comments(t *testing.T, ext, text string) string {
	t.Helper()
	var b strings.Builder
	if ext == ".go" {
		file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, group := range file.Comments {
			b.WriteString(strings.ReplaceAll(group.Text(), "\n", " ") + "\n")
		}
		return b.String()
	}
	for _, line := range strings.Split(text, "\n") {
		before, comment, found := strings.Cut(line, "--")
		if !found || strings.TrimSpace(before) != "" { // ends a group, or stands behind a statement
			b.WriteString("\n")
		}
		b.WriteString(" " + strings.TrimSpace(comment))
	}
	return b.String()
}

// sources lists the repository's files with one of these endings, from its root.
func sources(t *testing.T, endings ...string) []string {
	t.Helper()
	var paths []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == ".git" || name == "testdata" || name == "data" || name == "bin" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		for _, ending := range endings {
			if strings.HasSuffix(name, ending) {
				path, err = filepath.Rel(root, path)
				paths = append(paths, filepath.ToSlash(path))
			}
		}
		return err
	}))
	require.NotEmpty(t, paths)
	return paths
}

const root = "../../.."

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	require.NoError(t, err)
	return string(text)
}

func number(t *testing.T, digits string) int {
	t.Helper()
	n, err := strconv.Atoi(digits)
	require.NoError(t, err)
	return n
}
