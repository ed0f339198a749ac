package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Bounds of answers that carry files. A run may have 10,000 of them, each with an
// output of megabytes, and a client may ask for them and then not read.
const (
	// maxInlineOutput is the longest output that stands in an answer with others.
	maxInlineOutput = 16 << 10
	// maxInlineOutputs is how many bytes of outputs one answer carries in all.
	maxInlineOutputs = 256 << 10
	// maxFilesBytes is about how many bytes a page of files has besides; it ends
	// sooner than its limit says if their names are long.
	maxFilesBytes = 1 << 20
	// maxFailureMessage bounds what a provider had to say of a file.
	maxFailureMessage = 1024
)

// outputURL is the address of a file's output.
func outputURL(run core.RunID, index int) string {
	return "/workflow-runs/" + string(run) + "/files/" + strconv.Itoa(index) + "/output"
}

// pageOf makes a page of up to limit files, which were read without their outputs;
// one file more than that says that there is a next page. It reads those outputs that
// the answer has room for, the first ones first. They are read apart, so that no more
// of them is ever in memory; they cannot have changed meanwhile, since a completed
// file never does.
func (a *api) pageOf(r *request, run core.RunID, files []core.File, filter ports.FileFilter, limit int) (filePageJSON, error) {
	next := ""
	if end := endOfPage(files, limit); end < len(files) {
		next = fileCursor(files[end].Index)
		files = files[:end]
	}
	filter.Limit, filter.OutputBytes = roomForOutputs(files), maxInlineOutput
	if filter.Limit > 0 {
		read, err := a.svc.RunFiles(r.Context(), r.actor, run, filter)
		if err != nil {
			return filePageJSON{}, err
		}
		for i := range min(len(read), filter.Limit) {
			if read[i].Index == files[i].Index && files[i].Status == core.FileCompleted {
				files[i].Output = read[i].Output
			}
		}
	}
	return filePageJSON{Files: toFiles(run, files), NextCursor: next}, nil
}

// endOfPage is how many of the files fit a page.
func endOfPage(files []core.File, limit int) int {
	const each = 300 // bytes of a file in JSON, without what is counted below
	left := maxFilesBytes
	for i := range files {
		left -= each + len(files[i].Name) + min(len(files[i].Failure.Message), maxFailureMessage)
		if i == limit || left < 0 && i > 0 {
			return i
		}
	}
	return len(files)
}

// roomForOutputs is up to which of the files outputs are read; 0 if no file has one
// that may be.
func roomForOutputs(files []core.File) (end int) {
	left := int64(maxInlineOutputs)
	for i, f := range files {
		if f.Status != core.FileCompleted || f.OutputBytes == 0 || f.OutputBytes > maxInlineOutput {
			continue
		}
		if left -= f.OutputBytes; left < 0 {
			break
		}
		end = i + 1
	}
	return end
}

// getOutput is GET /workflow-runs/{id}/files/{index}/output: one output, whole.
func (a *api) getOutput(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	index, err := r.fileIndex()
	if err != nil {
		return err
	}
	f, err := a.svc.FileOutput(r.Context(), r.actor, id, index)
	if err != nil {
		return err
	}
	if f.Status != core.FileCompleted {
		return &core.Error{Code: core.CodeFileNotFound, Run: id, Message: "the file is " + string(f.Status) + " and has no output; only completed files have"}
	}
	sum := sha256.Sum256([]byte(f.Output))
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": outputName(f.Name)}))
	if matchesETag(r.Header.Values("If-None-Match"), h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(f.Output)))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, f.Output) // an error is a client that went away or does not read
	return nil
}

// matchesETag reports whether If-None-Match names the tag.
func matchesETag(header []string, tag string) bool {
	for _, line := range header {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimPrefix(strings.TrimSpace(word), "W/"); word == tag || word == "*" {
				return true
			}
		}
	}
	return false
}

// outputName is the name to save an output under: of the file that it was made from,
// without its folders, and without what a file system or a terminal could take for
// something else.
func outputName(name string) string {
	const most = 150 // bytes
	name = path.Base(strings.ReplaceAll(name, "\\", "/"))
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1 // what cannot be seen, or turns the text around
		case strings.ContainsRune(`/\:*?"<>|%`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, name)
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	name = strings.Trim(name, " .")
	if name == "" {
		name = "output"
	}
	if !strings.EqualFold(path.Ext(name), ".txt") {
		name += ".txt"
	}
	return name
}
