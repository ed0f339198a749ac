package llm_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/core"
)

// inUTF16 encodes a text without a byte order mark.
func inUTF16(order binary.AppendByteOrder, text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func zipped(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte("<xml/>"))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}

// TestAcceptedText: Execute sends the text that Accept accepts, in UTF-8.
func TestAcceptedText(t *testing.T) {
	t.Parallel()
	const german = "name;town\r\nJosé;Köln 10 – 20 €\r\n"
	little, big := binary.LittleEndian, binary.BigEndian
	for name, tc := range map[string]struct{ content, text string }{
		"ASCII":                   {"hello", "hello"},
		"UTF8":                    {german, german},
		"UTF8WithMark":            {"\xef\xbb\xbf" + german, german},
		"TwoMarks":                {"\xef\xbb\xbf\xef\xbb\xbfa", "a"},
		"EastAsian":               {"名前;町", "名前;町"},
		"Emoji":                   {"👩‍👩‍👧", "👩‍👩‍👧"},
		"UTF16LittleWithMark":     {"\xff\xfe" + inUTF16(little, german), german},
		"UTF16BigWithMark":        {"\xfe\xff" + inUTF16(big, german), german},
		"UTF16EmojiWithMark":      {"\xff\xfe" + inUTF16(little, "a 👩 b"), "a 👩 b"},
		"UTF16ChineseWithMark":    {"\xff\xfe" + inUTF16(little, "名前;町"), "名前;町"},
		"UTF16LittleWithoutMark":  {inUTF16(little, german), german},
		"UTF16BigWithoutMark":     {inUTF16(big, german), german},
		"Windows1252":             {"name;town\r\nJos\xe9;K\xf6ln 10 \x96 20 \x80\r\n", german},
		"Windows1252OneWord":      {"caf\xe9", "café"},
		"Windows1252French":       {"L\x92\xe9l\xe8ve a \xe9t\xe9 re\xe7u \xe0 l\x92\xe9cole", "L’élève a été reçu à l’école"},
		"Windows1252Quotes":       {"He said \x93no\x94 \x97 twice", "He said “no” — twice"},
		"Windows1252Portuguese":   {"n\xba 5: informa\xe7\xf5es \xe0 popula\xe7\xe3o", "nº 5: informações à população"},
		"BeginsLikeABitmap":       {"BMW und andere Stra\xdfen", "BMW und andere Straßen"},
		"BeginsLikeAnArchive":     {"PK is how it begins", "PK is how it begins"},
		"ColoursOfATerminal":      {"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"},
		"NewPages":                {"one\ftwo", "one\ftwo"},
		"MarkInTheMiddle":         {"a\uFEFFb", "a\uFEFFb"},
		"SVG":                     {`<svg xmlns="http://www.w3.org/2000/svg"/>`, `<svg xmlns="http://www.w3.org/2000/svg"/>`},
		"ZeroWidthBetweenLetters": {"a\u200bb", "a\u200bb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			require.Nil(t, r.exec.Accept("a.csv", []byte(tc.content)))
			got := r.one(t, textFile(0, "a.csv", tc.content))
			require.Equal(t, core.OutcomeCompleted, got.Outcome, got.Failure)
			require.Equal(t, tc.text, r.fake.Requests()[0].Text)
		})
	}
}

// TestRefusedText: a file that cannot be processed is refused before anything is charged,
// with its type and the types that are accepted. Execute, which files of earlier versions
// reach, agrees.
func TestRefusedText(t *testing.T) {
	t.Parallel()
	const limit = 4096
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, tc := range map[string]struct{ content, code, says string }{
		"Empty":                {"", llm.FailureEmpty, "no text"},
		"WhiteSpace":           {" \r\n\t\u00a0\u3000", llm.FailureEmpty, "no text"},
		"MarkAlone":            {"\xef\xbb\xbf", llm.FailureEmpty, "no text"},
		"UTF16MarkAlone":       {"\xff\xfe", llm.FailureEmpty, "no text"},
		"ZeroWidthAlone":       {"\u200b\u200b\u2060\u200d", llm.FailureEmpty, "no text"},
		"MarkAndWhiteSpace":    {"\xef\xbb\xbf \n", llm.FailureEmpty, "no text"},
		"LettersWithoutAShape": {"\u3164\u2800\u115f", llm.FailureEmpty, "no text"},
		"UTF16WhiteSpace":      {"\xff\xfe" + inUTF16(binary.LittleEndian, " \r\n"), llm.FailureEmpty, "no text"},
		"TooLong":              {strings.Repeat("x", limit+1), llm.FailureTooLarge, "at most 4 KiB"},
		"TooLongOnceDecoded":   {"\xff\xfe" + inUTF16(binary.LittleEndian, strings.Repeat("名", limit/2-1)), llm.FailureTooLarge, "at most 4 KiB"},
		"PDF":                  {"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", llm.FailureNotText, "PDF"},
		"PDFInASCII":           {"%PDF-1.4\n1 0 obj\n", llm.FailureNotText, "PDF"},
		"PNG":                  {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", llm.FailureNotText, "image"},
		"JPEG":                 {"\xff\xd8\xff\xe0\x00\x10JFIF\x00", llm.FailureNotText, "image"},
		"ZIP":                  {zipped(t, "a.txt"), llm.FailureNotText, "ZIP"},
		"Excel":                {zipped(t, "[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), llm.FailureNotText, "CSV UTF-8"},
		"Word":                 {zipped(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml"), llm.FailureNotText, "Word"},
		"OldExcel":             {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 600), llm.FailureNotText, "office"},
		"Gzip":                 {packed.String(), llm.FailureNotText, "gzip"},
		"NUL":                  {"a\x00b", llm.FailureNotText, "binary"},
		"Controls":             {"\x01\x02\x03\x04 a", llm.FailureNotText, "not text"},
		"HighBytes":            {"\xff\xfb\x90\x04\xff\xfb", llm.FailureNotText, "recording"},
		"Windows1251":          {"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0! \xca\xe0\xea \xe4\xe5\xeb\xe0?", llm.FailureNotText, "UTF-8"},
		"ShiftJIS":             {"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd, hello", llm.FailureNotText, "UTF-8"},
		"GBK":                  {"name: \xd5\xc5\xc8\xfd, town: \xb1\xb1\xbe\xa9", llm.FailureNotText, "UTF-8"},
		"MacRoman":             {"Jos\x8e lives in M\x9fnchen", llm.FailureNotText, "UTF-8"},
		"CodePage850":          {"M\x81nchen", llm.FailureNotText, "UTF-8"},
		"UTF32":                {"\xff\xfe\x00\x00a\x00\x00\x00", llm.FailureNotText, "UTF-32"},
		"UTF16CutShort":        {"\xff\xfea\x00b", llm.FailureNotText, "UTF-16"},
		"UTF16HalfACharacter":  {"\xff\xfe\x3d\xd8a\x00", llm.FailureNotText, "UTF-16"},
		"UTF16WithNUL":         {"\xff\xfea\x00\x00\x00", llm.FailureNotText, "UTF-16"},
		"UTF8CutInACharacter":  {"hello \xe2\x82", llm.FailureNotText, "UTF-8"},
		"UTF8Damaged":          {"K\xc3\xb6ln, M\xc3\xbcnchen, Gr\xfc\xdfe", llm.FailureNotText, "UTF-8"},
		"NumbersOf16Bits":      {"\x01\x00\x02\x00\x03\x00\x04\x00", llm.FailureNotText, "binary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, func(c *llm.Config) { c.MaxFileBytes = limit })
			require.EqualValues(t, limit, r.exec.MaxFileBytes())
			failure := r.exec.Accept("a.csv", []byte(tc.content))
			require.NotNil(t, failure)
			require.Equal(t, tc.code, failure.Code)
			require.Contains(t, failure.Message, tc.says)
			if tc.code == llm.FailureNotText {
				require.Contains(t, failure.Message, "text files are accepted")
			}
			got := r.one(t, textFile(0, "a.csv", tc.content))
			require.Equal(t, core.OutcomePermanent, got.Outcome)
			require.Equal(t, *failure, got.Failure)
			require.Empty(t, r.fake.Requests(), "no model was asked")
		})
	}
}

// TestAcceptDoesNotChangeTheContent: the content is stored as it was uploaded.
func TestAcceptDoesNotChangeTheContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, content := range []string{"\xef\xbb\xbfa", "\xff\xfea\x00", "caf\xe9", "\x00"} {
		b := []byte(content)
		r.exec.Accept("a", b)
		require.Equal(t, content, string(b))
	}
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "hello", "caf\xe9", "\xff\xfea\x00", "\xfe\xff\x00a", "a\x00b\x00", "\xef\xbb\xbf", "%PDF-", "\xd8\x00\xdc\x00"} {
		f.Add([]byte(s))
	}
	exec, err := llm.New(llm.Config{BaseURL: "http://127.0.0.1:1", Model: "m", MaxFileBytes: 1 << 16})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, content []byte) {
		if failure := exec.Accept("a", content); failure != nil {
			require.NotEmpty(t, failure.Code)
			require.NotEmpty(t, failure.Message)
		}
	})
}
