package core_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

func TestSaveName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "sub/folder/readme.md": "readme.md", `C:\temp\a.doc`: "a.doc", "../../etc/passwd": "passwd",
		"..": "file", "/": "_", ".bashrc": "bashrc", "a\r\nSet-Cookie: x=1": "aSet-Cookie_ x=1", `a"; filename=b.exe`: "a_; filename=b.exe",
		"evil\u202etxt.exe": "eviltxt.exe", "über.txt": "über.txt", "\u200b": "file", "100%41": "100_41", "a\u00a0b": "a b",
		strings.Repeat("ä", 200) + ".pdf": strings.Repeat("ä", 58) + ".pdf",
		"x." + strings.Repeat("y", 200):   "x." + strings.Repeat("y", 118),
	} {
		require.Equal(t, want, core.SaveName(name, "file"), "%q", name)
	}
	require.Equal(t, "report.pdf.txt", core.OutputSaveName("report.pdf"))
	require.Equal(t, "NOTES.TXT", core.OutputSaveName("NOTES.TXT"))
	require.Equal(t, "output.txt", core.OutputSaveName(".."))
}

func TestSpreadsheetCell(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "plain": "plain", "a=b": "a=b", "5-3": "5-3", "mail@example.com": "mail@example.com", "a; b": "a; b",
		"=1+1": "'=1+1", "+49 30 1234": "'+49 30 1234", "-5": "-5", "+5": "'+5", "-5.5": "'-5.5", "@SUM(A1)": "'@SUM(A1)", "- an item": "'- an item",
		"  =1+1": "  '=1+1", "\u00a0=1": "\u00a0'=1", "\t=1": "'\t'=1", "\rx": "'\rx", "\n": "'\n", "＝1+1": "'＝1+1",
		`"=1+1"`: `"'=1+1"`, "first\n=1+1": "first\n'=1+1", "first\r\n @x": "first\r\n '@x", "a;=1;b": "a;'=1;b", ";=1": ";'=1",
		"a\t-cmd|'/c calc'!A0": "a\t'-cmd|'/c calc'!A0", "list:\n- one\n- two\n+ three": "list:\n- one\n- two\n+ three",
	} {
		require.Equal(t, want, core.SpreadsheetCell(text), "%q", text)
	}
}

// Whatever the text and the separator: no cell begins a formula, and nothing but
// apostrophes is added.
func TestSpreadsheetCellProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{
			"=", "+", "-", "@", ";", "\t", "\n", "\r", " ", "a", "1", `"`, "'", "＝", "－", "ü",
		})).Draw(t, "text"), "")
		safe := core.SpreadsheetCell(text)
		require.Equal(t, strings.ReplaceAll(text, "'", ""), strings.ReplaceAll(safe, "'", ""))
		if safe == text && regexp.MustCompile(`^-\d+$`).MatchString(text) {
			return
		}
		require.NotRegexp(t, "^[ \"]*[-=+@＝－]", safe)
		for _, cell := range strings.FieldsFunc(safe, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
			require.NotRegexp(t, "^[ \"]*[=@＝]", cell, "%q", safe)
			require.NotRegexp(t, "^[ \"]*[-+－][^ ]", cell, "%q", safe)
		}
	})
}
