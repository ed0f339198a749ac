package webui

import (
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// versionsShown is how many versions of a template's instructions a page lists.
const versionsShown = 50

// versionRow is one version of a template's instructions.
type versionRow struct {
	Number  string
	URL     string // its difference from the one before; empty for the first
	By      string
	At      Moment
	Current bool // its difference is shown
}

// diffLine is one line of a difference: "+", "-" or " ".
type diffLine struct{ Sign, Text string }

// Tone is the colour of a line, in addition to its sign.
func (d diffLine) Tone() Tone {
	switch d.Sign {
	case "+":
		return ToneGood
	case "-":
		return ToneBad
	}
	return ToneNeutral
}

// versions lists what the instructions were, and compares the version that the query
// names with the one before it.
func (u *ui) versions(r *request, t core.Template, v *templateView) error {
	chosen := r.queryInt("version", 0, 1, 1<<30)
	list, err := u.svc.TemplateVersions(r.Context(), r.actor(), t.Tenant, t.ID, r.queryInt("below", 0, 0, 1<<30), versionsShown+1)
	if err != nil {
		return err
	}
	for i, version := range list {
		if i == versionsShown {
			break
		}
		row := versionRow{
			Number: r.T("version.number", version.Number), By: visible(version.By.Subject), At: r.Time(version.At), Current: version.Number == chosen,
		}
		if i+1 < len(list) {
			row.URL = withQuery(v.URL, "version", strconv.Itoa(version.Number)) + "#versions"
			if row.Current {
				v.Compared = r.T("version.compared", list[i+1].Number, version.Number)
				v.Difference = difference(list[i+1].Instructions, version.Instructions)
			}
		}
		v.Versions = append(v.Versions, row)
	}
	return nil
}

// diffCells bounds the work of a difference; longer texts are shown in full, one after
// the other.
const diffCells = 4_000_000

// difference compares two texts line by line.
func difference(before, after string) []diffLine {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var head, tail []diffLine
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head = append(head, diffLine{" ", a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append([]diffLine{{" ", a[len(a)-1]}}, tail...)
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return append(append(head, middle(a, b)...), tail...)
}

// middle compares by the longest common subsequence.
func middle(a, b []string) []diffLine {
	var lines []diffLine
	common := make([][]int32, len(a)+1)
	if len(a)*len(b) <= diffCells {
		for i := range common {
			common[i] = make([]int32, len(b)+1)
		}
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i][j] = common[i+1][j+1] + 1
				} else {
					common[i][j] = max(common[i+1][j], common[i][j+1])
				}
			}
		}
	} else {
		common = nil
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) && common != nil {
		switch {
		case a[i] == b[j]:
			lines = append(lines, diffLine{" ", a[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			lines = append(lines, diffLine{"-", a[i]})
			i++
		default:
			lines = append(lines, diffLine{"+", b[j]})
			j++
		}
	}
	for _, line := range a[i:] {
		lines = append(lines, diffLine{"-", line})
	}
	for _, line := range b[j:] {
		lines = append(lines, diffLine{"+", line})
	}
	return lines
}
