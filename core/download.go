package core

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSaveName is the most bytes of a name to save a download under: many file systems
// allow 255, and a number and an extension are added to it.
const maxSaveName = 120

// SaveName makes a file's name fit to save a download under: the last part of its path,
// without characters that have a meaning to a file system, a shell or a terminal. A long
// name is cut before its extension. If nothing is left of it, it is otherwise.
func SaveName(name, otherwise string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1 // invisible, or changes the direction of the text
		case strings.ContainsRune(`/\:*?"<>|%`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, name)
	if len(name) > maxSaveName {
		extension := path.Ext(name)
		if len(extension) > 16 {
			extension = ""
		}
		name = strings.ToValidUTF8(name[:maxSaveName-len(extension)], "") + extension
	}
	if name = strings.Trim(name, " ."); name == "" {
		return otherwise
	}
	return name
}

// OutputSaveName is the name to save the output of a file under.
func OutputSaveName(name string) string {
	name = SaveName(name, "output")
	if !strings.EqualFold(path.Ext(name), ".txt") {
		name += ".txt"
	}
	return name
}

// SpreadsheetCell keeps spreadsheets from running a text as a formula: an apostrophe is put
// before it. A text is taken for a formula by its first character, blanks aside. A
// spreadsheet that separates cells by semicolons or tabs, as it may by the user's
// language, splits a text into several cells, and its lines into rows; so what comes after
// one of those, or after a line break, is looked at as well. There a plus or minus with a
// blank after it is left as it is: it begins an item of a list. Whole numbers are left as
// they are, negative ones too.
func SpreadsheetCell(text string) string {
	if !strings.ContainsAny(text, "=+-@\t\r\n＝＋－＠") {
		return text
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil && text[0] != '+' {
		return text
	}
	var b strings.Builder
	kept := 0                   // of the text, in b
	begins, first := true, true // a cell may begin here; it is the first
	for i, r := range text {
		switch {
		case r == ';' || r == '\t' || r == '\r' || r == '\n':
			if i == 0 && r != ';' { // these are dropped or skipped by some
				b.WriteByte('\'')
			}
			begins, first = true, false
		case !begins, unicode.IsSpace(r), r == '"':
		case formula(r) && (first || r == '=' || r == '@' || r == '＝' || r == '＠' || !blankAfter(text[i+utf8.RuneLen(r):])):
			b.WriteString(text[kept:i])
			b.WriteByte('\'')
			kept, begins, first = i, false, false
		default:
			begins, first = false, false
		}
	}
	if kept == 0 && b.Len() == 0 {
		return text
	}
	b.WriteString(text[kept:])
	return b.String()
}

// formula reports whether a text that begins with r may be a formula.
func formula(r rune) bool { return strings.ContainsRune("=+-@＝＋－＠", r) }

func blankAfter(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return unicode.IsSpace(r)
}
