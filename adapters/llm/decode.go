package llm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	unicodetext "golang.org/x/text/encoding/unicode"

	"github.com/redrive/redrive/core"
)

// accepted ends each refusal with what files may be.
const accepted = "text files are accepted, in UTF-8, UTF-16 or Windows-1252"

// decode gives a file's text without a byte order mark, or the failure that says why
// it has none. limit is in bytes, of the file and of its text in UTF-8.
//
// UTF-8 is tried first: valid UTF-8 is hardly ever anything else. Then comes UTF-16, by
// its byte order mark or because nearly every other byte is zero. Then comes
// Windows-1252, which spreadsheets write, if the text looks like a Western language. All
// else is binary or in an encoding that can only be guessed: after a wrong guess the
// tenant would pay for work on garbage.
func decode(content []byte, limit int64) (string, *core.Failure) {
	if int64(len(content)) > limit {
		return "", tooLarge(int64(len(content)), limit)
	}
	text, failure := toUTF8(content)
	if failure != nil {
		return "", failure
	}
	text = strings.TrimLeft(text, "\uFEFF")
	switch {
	case !strings.ContainsFunc(text, printed):
		return "", &core.Failure{Code: FailureEmpty, Message: "the file has no text: it is empty, or has only white space or invisible characters; upload a file with text"}
	case int64(len(text)) > limit:
		return "", tooLarge(int64(len(text)), limit)
	}
	return text, nil
}

func tooLarge(size, limit int64) *core.Failure {
	return &core.Failure{Code: FailureTooLarge, Message: fmt.Sprintf(
		"the file has %s of text and may have at most %s; split it and upload the parts", bytesOf(size), bytesOf(limit))}
}

// bytesOf is a size in the largest unit in which it is a whole number.
func bytesOf(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

func undecodable(message string) *core.Failure {
	return &core.Failure{Code: FailureNotText, Message: message + "; " + accepted}
}

func toUTF8(content []byte) (string, *core.Failure) {
	marked := len(content) >= 2
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(content, []byte("\x00\x00\xfe\xff")):
		return "", undecodable("the file is in UTF-32; save it as UTF-8 and upload it again")
	case marked && content[0] == 0xff && content[1] == 0xfe:
		return utf16Text(content[2:], binary.LittleEndian)
	case marked && content[0] == 0xfe && content[1] == 0xff:
		return utf16Text(content[2:], binary.BigEndian)
	}
	if bytes.HasPrefix(content, []byte("%PDF-")) { // the whole file may be ASCII
		return "", undecodable(kindOf(content))
	}
	hasNUL := bytes.IndexByte(content, 0) >= 0
	switch {
	case utf8.Valid(content) && !hasNUL && !mostlyControls(content):
		return string(content), nil
	case hasNUL:
		if order := unmarkedUTF16(content); order != nil {
			return utf16Text(content, order)
		}
	case !damagedUTF8(content) && windows1252(content):
		if text, err := charmap.Windows1252.NewDecoder().Bytes(content); err == nil {
			return string(text), nil
		}
	}
	if what := kindOf(content); what != "" {
		return "", undecodable(what)
	}
	if hasNUL {
		return "", undecodable("the file is not text but binary data")
	}
	return "", undecodable("the file is not text, or is in an unknown encoding; save it as UTF-8 and upload it again")
}

// utf16Text decodes UTF-16 without its byte order mark.
func utf16Text(content []byte, order binary.ByteOrder) (string, *core.Failure) {
	broken := undecodable("the file is not valid UTF-16; save it as UTF-8 and upload it again")
	if len(content)%2 != 0 {
		return "", broken
	}
	for i := 0; i < len(content); i += 2 {
		r := rune(order.Uint16(content[i:]))
		switch {
		case utf16.IsSurrogate(r):
			if i+4 > len(content) || utf16.DecodeRune(r, rune(order.Uint16(content[i+2:]))) == utf8.RuneError {
				return "", broken
			}
			i += 2
		case r == 0, r == 0xfffe, r == 0xffff:
			return "", broken
		}
	}
	endianness := unicodetext.BigEndian
	if order == binary.LittleEndian {
		endianness = unicodetext.LittleEndian
	}
	text, err := unicodetext.UTF16(endianness, unicodetext.IgnoreBOM).NewDecoder().Bytes(content)
	if err != nil || mostlyControls(text) {
		return "", broken
	}
	return string(text), nil
}

// unmarkedUTF16 gives the byte order of UTF-16 without a byte order mark if it is
// certain: in Western text every other byte is nearly always zero, and the rest never.
func unmarkedUTF16(content []byte) binary.ByteOrder {
	if len(content) < 4 || len(content)%2 != 0 {
		return nil
	}
	var zeros [2]int
	for i, b := range content {
		switch {
		case b == 0:
			zeros[i%2]++
		case control(b) && content[i^1] == 0:
			return nil
		}
	}
	const most = 0.8
	switch half := float64(len(content) / 2); {
	case zeros[0] == 0 && float64(zeros[1]) >= most*half:
		return binary.LittleEndian
	case zeros[1] == 0 && float64(zeros[0]) >= most*half:
		return binary.BigEndian
	default:
		return nil
	}
}

// mostlyControls reports whether more than a tenth are control characters that text
// does not have.
func mostlyControls(text []byte) bool {
	n := 0
	for _, b := range text {
		if control(b) {
			n++
		}
	}
	return n*10 > len(text)
}

// control reports whether a byte is a control character that text does not have. Those
// for terminals and printers, such as colours and page breaks, do not count.
func control(b byte) bool {
	switch b {
	case '\t', '\n', '\v', '\f', '\r', '\b', '\x1b':
		return false
	}
	return b < ' ' || b == 0x7f
}

// windows1252 reports whether bytes that are not UTF-8 look like a Western language in
// Windows-1252: accented letters occur singly among others. Read as Windows-1252, text
// in Cyrillic, Greek and East Asian encodings has runs of high bytes; text in encodings
// of DOS, old Macs and Central Europe has signs or capitals in the middle of words.
func windows1252(content []byte) bool {
	const (
		longRun  = 4
		oddShare = 4 // at most one in so many may look odd
	)
	high, run, odd, shown := 0, 0, 0, 0
	for i, b := range content {
		switch {
		case control(b), b == 0x81, b == 0x8d, b == 0x8f, b == 0x90, b == 0x9d: // not assigned in Windows-1252
			return false
		case b > ' ':
			shown++
		}
		if b < 0x80 {
			run = 0
			continue
		}
		high++
		if letter := unicode.IsLetter(charmap.Windows1252.DecodeByte(b)); letter {
			if run++; run >= longRun {
				return false
			}
		} else {
			run = 0
		}
		if oddInWord(content, i) {
			odd++
		}
	}
	return high*5 <= shown*2 && odd*oddShare <= high
}

// damagedUTF8 reports whether the content is UTF-8 with a few wrong bytes: most bytes
// that are not ASCII belong to valid characters, or the last character was cut.
func damagedUTF8(content []byte) bool {
	high, whole := 0, 0
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			high++
			if len(content)-i > 1 && !utf8.FullRune(content[i:]) {
				return true
			}
		case size > 1:
			high += size
			whole += size
		}
		i += size
	}
	return whole*2 > high
}

// oddInWord reports whether a byte, as Windows-1252, is unusual where it is: a sign
// between two letters, or a capital after a small letter.
func oddInWord(content []byte, i int) bool {
	if i == 0 || !unicode.IsLower(charmap.Windows1252.DecodeByte(content[i-1])) {
		return false
	}
	r := charmap.Windows1252.DecodeByte(content[i])
	if unicode.IsUpper(r) {
		return true
	}
	switch r {
	case '’', '‘', '´', '–', '—', '…', '·', '«', '»', '”', '“', 'ª', 'º', '\u00a0', '\u00ad', '®', '™', '©', '²', '³':
		return false // they do stand at the end of words or between parts of them
	}
	return !unicode.IsLetter(r) && i+1 < len(content) && unicode.IsLower(charmap.Windows1252.DecodeByte(content[i+1]))
}

// printed reports whether a character is visible to a reader.
func printed(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // letters without a shape
		return false
	}
	return !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Variation_Selector, r)
}
