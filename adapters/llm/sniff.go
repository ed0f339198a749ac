package llm

import (
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// kinds are the types of files that people upload in place of text, with what to do
// instead; the more specific ones first.
var kinds = []struct{ mime, what string }{
	{"application/pdf", "the file is a PDF; export its text and upload that"},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "the file is an Excel workbook; save it as CSV UTF-8 and upload that"},
	{"application/vnd.ms-excel", "the file is an Excel workbook; save it as CSV UTF-8 and upload that"},
	{"application/vnd.oasis.opendocument.spreadsheet", "the file is a spreadsheet; save it as CSV and upload that"},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "the file is a Word document; save it as plain text and upload that"},
	{"application/msword", "the file is a Word document; save it as plain text and upload that"},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation", "the file is a presentation; export its text and upload that"},
	{"application/vnd.oasis.opendocument.text", "the file is a document of a word processor; save it as plain text and upload that"},
	{"application/x-ole-storage", "the file is a document of an old office program; save it as plain text or CSV and upload that"},
	{"application/zip", "the file is a ZIP archive; unpack it and upload what is in it"},
	{"application/gzip", "the file is packed with gzip; unpack it and upload what is in it"},
	{"application/x-bzip2", "the file is packed with bzip2; unpack it and upload what is in it"},
	{"application/x-xz", "the file is packed with xz; unpack it and upload what is in it"},
	{"application/zstd", "the file is packed with zstd; unpack it and upload what is in it"},
	{"application/x-7z-compressed", "the file is a 7-Zip archive; unpack it and upload what is in it"},
	{"application/x-rar-compressed", "the file is a RAR archive; unpack it and upload what is in it"},
	{"application/x-tar", "the file is a tar archive; unpack it and upload what is in it"},
}

// media are the types without text.
var media = map[string]string{
	"image/": "the file is an image, and has no text",
	"audio/": "the file is a recording, and has no text",
	"video/": "the file is a video, and has no text",
	"font/":  "the file is a font, and has no text",
}

// kindOf says what a file is and what to do instead; empty if it is unknown. It must
// only be called for files that are not text: many types are recognized by two letters
// at the beginning, and a text may begin with "BM" as well.
func kindOf(content []byte) string {
	m := mimetype.Detect(content)
	for _, k := range kinds {
		for parent := m; parent != nil; parent = parent.Parent() {
			if parent.Is(k.mime) {
				return k.what
			}
		}
	}
	for prefix, what := range media {
		if strings.HasPrefix(m.String(), prefix) {
			return what
		}
	}
	return ""
}
