package httpapi

import (
	"io"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Bounds of answers that carry files. A run may have 10,000 files with outputs of
// megabytes each, and a client may request them and then not read the answer.
const (
	// maxInlineOutput is the most bytes of an output that an answer with others carries.
	maxInlineOutput = 16 << 10
	// maxInlineOutputs is how many bytes of outputs one answer carries in all.
	maxInlineOutputs = 256 << 10
	// maxFilesBytes is about how many bytes a page of files has without outputs; if
	// their names are long, the page has fewer files than its limit.
	maxFilesBytes = 1 << 20
	// maxFailureMessage bounds a file's failure message, part of which is the provider's.
	maxFailureMessage = 1024
)

// outputURL is the address of a file's output.
func (a *api) outputURL(run core.RunID, index int) string {
	return a.cfg.Prefix + "/workflow-runs/" + string(run) + "/files/" + strconv.Itoa(index) + "/output"
}

// pageOf makes a page of up to limit files, which were read without their outputs. If
// files has one more than limit, there is a next page, which begins with the file next. It then reads the outputs that
// fit into the answer, in order. They are read separately, so that no others are ever in
// memory. They cannot have changed meanwhile, since a completed file never changes.
func (a *api) pageOf(r *request, run core.RunID, files []core.File, filter ports.FileFilter, limit int) (page []fileJSON, next int, err error) {
	if end := endOfPage(files, limit); end < len(files) {
		next = files[end].Index
		files = files[:end]
	}
	filter.Limit, filter.OutputBytes = roomForOutputs(files), maxInlineOutput
	if filter.Limit > 0 {
		read, err := a.svc.RunFiles(r.Context(), r.actor, run, filter)
		if err != nil {
			return nil, 0, err
		}
		for i := range min(len(read), filter.Limit) {
			if read[i].Index == files[i].Index && files[i].Status == core.FileCompleted {
				files[i].Output = read[i].Output
			}
		}
	}
	return a.toFiles(run, files), next, nil
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

// roomForOutputs gives how many of the files, from the first one, to read with their
// outputs; 0 if none of them has an output that fits.
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
	f, leave, err := a.svc.DownloadOutput(r.Context(), r.actor, id, index)
	if err != nil {
		return err
	}
	defer leave()
	if f.Status != core.FileCompleted {
		return &core.Error{Code: core.CodeFileNotFound, Run: id, Message: "the file is " + string(f.Status) + " and has no output; only completed files have"}
	}
	h := w.Header()
	h.Set("Content-Disposition", disposition("attachment", core.OutputSaveName(f.Name)))
	h.Set("Content-Security-Policy", sandboxed)
	if notModified(w, r, f.Output) {
		return nil
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(f.Output)))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, f.Output) // an error means that the client disconnected or does not read
	return nil
}
