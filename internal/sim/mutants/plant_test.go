package mutants

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const source = `package p

func f(a int) int {
	a++
	if a > 1 {
		return a
	}
	return 0
}
`

func edit(old, as string) place {
	return place{bug: 1, name: "bug", edit: Edit{Old: old, New: as}}
}

// at finds where a place stands.
func at(p place, from int) place {
	p.from, p.to = from, from+len(p.edit.Old)
	return p
}

// A bug may be planted inside what another one replaces.
func TestRenderNests(t *testing.T) {
	t.Parallel()
	text, rest, err := render("a b c", 0, 5, []place{at(edit("a b", "[{on} {old}]"), 0), at(edit("b", "<{on}>"), 2)})
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, "[planted.On(1 /* bug */) a <planted.On(1 /* bug */)>] c", text)
}

// What would lose a bug, or plant it in the wrong place, is refused.
func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	_, _, err := render("a b c", 0, 5, []place{at(edit("a b", "{on}{old}"), 0), at(edit("b c", "{on}"), 2)})
	require.ErrorContains(t, err, "overlaps")
	_, _, err = render("a b c", 0, 5, []place{at(edit("a b", "{on}"), 0), at(edit("b", "{on}"), 2)})
	require.ErrorContains(t, err, "where {old} goes")
}

// Statements become a choice; the copy imports the switch.
func TestPlantedStatement(t *testing.T) {
	t.Parallel()
	p := place{bug: 7, name: "bug", edit: Edit{Old: "\ta++\n", New: "\ta--\n"}}
	text, _, err := render(source, 0, len(source), []place{at(p, 31)})
	require.NoError(t, err)
	require.Contains(t, text, "if planted.On(7 /* bug */) {\n\ta--\n\n} else {\n\ta++\n\n}\n")
}

// A table that says what cannot be is refused, with the line.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"what it is\n":                         "line 1 is before the first bug",
		"bug a\n-\tx()\n":                      "line 2, of bug a: \"-\\tx()\" is in no file",
		"bug a\nimport fmt\n":                  "is in no file",
		"bug a\nwhy not\n":                     "\"why\" is not known",
		"bug a\nfile b.go\n+\tx()\n":           "replaces nothing",
		"bug a\nfile b.go\n-\tx()\n>y\n":       "replaces nothing",
		"bug a\nfile b.go\n-x()\n+y()\n-z()\n": "comes after what replaces it",
	} {
		_, err := read(nil, text)
		require.ErrorContains(t, err, why, text)
	}
}

// Lines end, parts of lines do not, and what was there brings its own end.
func TestRead(t *testing.T) {
	t.Parallel()
	bugs, err := read(nil, "# About a.\n\nbug a\nwhat it is\nfile b.go\n-\tx()\n-\n+\tif !{on} {\n+{old}\n+\t}\nfile c.go\nimport fmt\n<a >\n< b\n>a > {on} ||\n> b\n")
	require.NoError(t, err)
	require.Equal(t, []Bug{{Name: "a", What: "it is", Edits: []Edit{
		{File: "b.go", Old: "\tx()\n\n", New: "\tif !{on} {\n{old}\t}\n"},
		{File: "c.go", Old: "a >\n b", New: "a > {on} ||\n b", Import: "fmt"},
	}}}, bugs)
}

// Every bug that has to be found has a limit, no other has one, and the names are
// unique.
func TestLimitsAreComplete(t *testing.T) {
	t.Parallel()
	limits, err := Limits()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, b := range Bugs() {
		require.False(t, names[b.Name], "%s is there twice", b.Name)
		names[b.Name] = true
		require.NotEmpty(t, b.What, b.Name)
		require.NotEmpty(t, b.Edits, b.Name)
		_, limited := limits[b.Name]
		require.Equal(t, b.Simulated(), limited, "limit of %s", b.Name)
	}
	for name := range limits {
		require.True(t, names[name], "limits.txt has %s, which is no bug", name)
	}
}

// Percentiles are those of the nearest rank, and a campaign that found nothing
// counts with all the seeds that it had.
func TestRow(t *testing.T) {
	t.Parallel()
	var outcomes []outcome
	for n := range uint64(100) {
		outcomes = append(outcomes, outcome{seeds: 100 - n, rule: "I3"})
	}
	outcomes[0] = outcome{seeds: 20_000}
	r := rowOf(Bug{Name: "bug"}, outcomes)
	require.Equal(t, 99, r.Found)
	require.True(t, r.Missed())
	require.EqualValues(t, 50, r.Median)
	require.EqualValues(t, 95, r.P95)
	require.EqualValues(t, 20_000, r.Worst)
	require.Equal(t, []RuleCount{{"I3", 99}}, r.Rules)
	require.Equal(t, []string{"bug"}, Table{Rows: []Row{r}}.Missed())
}
