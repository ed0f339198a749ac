package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

func (a *api) resultRoutes() []route {
	return []route{
		get("/workflow-runs/:id/files/:index/content", onRun(core.ActionRead), a.getContent),
		get("/workflow-runs/:id/outputs", onRun(core.ActionRead), a.getOutputs),
	}
}

// sandboxed is the policy of answers that are text of a tenant or of a model: if a browser
// shows one, it runs no script and is of no origin.
const sandboxed = "default-src 'none'; sandbox; frame-ancestors 'none'"

// disposition is a Content-Disposition with a name, for all clients: some know only
// filename, which cannot be but ASCII (RFC 6266, appendix D).
func disposition(kind, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return '_'
		}
		return r
	}, name)
	value := mime.FormatMediaType(kind, map[string]string{"filename": plain})
	if plain != name {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return value
}

// harmless gives the type under which a browser may show an uploaded content, found by its
// first bytes, never by its name or by what its sender said; or false for all that is not
// known to be harmless. Text is shown as text, whatever language it is in.
func harmless(beginning []byte) (contentType string, ok bool) {
	contentType = http.DetectContentType(beginning)
	kind, _, err := mime.ParseMediaType(contentType)
	return contentType, err == nil && slices.Contains([]string{"text/plain", "image/png", "image/jpeg", "image/gif", "image/webp"}, kind)
}

// getContent is GET /workflow-runs/{id}/files/{index}/content: what was uploaded, unchanged.
// It has no Content-Length: a damaged content shows at its end alone, and then the answer
// has to break off instead of looking complete.
func (a *api) getContent(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	index, err := r.fileIndex()
	if err != nil {
		return err
	}
	file, content, err := a.svc.FileInput(r.Context(), r.actor, id, index)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	h := w.Header()
	// A content never changes, so its place names it.
	if notModified(w, r, string(id)+"/"+strconv.Itoa(index)+"/"+string(file.Ref)) {
		return nil
	}
	in := bufio.NewReaderSize(content, pieceBytes)
	beginning, err := in.Peek(512) // as many as http.DetectContentType looks at
	if err != nil && !errors.Is(err, io.EOF) {
		h.Del("ETag")
		return err
	}
	kind := "attachment"
	contentType, ok := harmless(beginning)
	if ok {
		kind = "inline"
	} else {
		contentType = "application/octet-stream"
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", disposition(kind, core.SaveName(file.Name, "file")))
	h.Set("Content-Security-Policy", sandboxed)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = in.WriteTo(w)
	return err
}

// outputFormat is a form in which all outputs of a run can be had.
type outputFormat struct {
	name, contentType string
	also              string // another name of the type
	write             func(*app.Outputs, context.Context, io.Writer) error
}

// outputFormats are the forms; the first is given to a client that accepts anything.
var outputFormats = []outputFormat{
	{"jsonl", "application/jsonl", "application/x-ndjson", (*app.Outputs).WriteJSONL},
	{"csv", "text/csv", "", func(o *app.Outputs, ctx context.Context, w io.Writer) error { return o.WriteCSV(ctx, w, true) }},
	{"zip", "application/zip", "application/x-zip-compressed", (*app.Outputs).WriteZIP},
}

// outputFormat is the form that the client asks for, by ?format= or by Accept.
func (r *request) outputFormat() (outputFormat, error) {
	name, err := r.query("format")
	if err != nil {
		return outputFormat{}, err
	}
	if name != "" {
		i := slices.IndexFunc(outputFormats, func(f outputFormat) bool { return f.name == name })
		if i < 0 {
			return outputFormat{}, core.InvalidField("format", "must be zip, jsonl or csv")
		}
		return outputFormats[i], nil
	}
	best, quality := -1, 0.0
	for i, f := range outputFormats {
		if q := accepted(r.Header.Values("Accept"), f.contentType, f.also); q > quality {
			best, quality = i, q
		}
	}
	if best < 0 {
		return outputFormat{}, refused(codeNotAcceptable, "accept application/jsonl, text/csv or application/zip, or ask for one with ?format=")
	}
	return outputFormats[best], nil
}

// accepted is how much a client wants one of these types, from 0 to 1 (RFC 9110, 12.5.1):
// what it says of the type itself, else of its kind, else of all. Without Accept it takes
// anything. What cannot be read is passed over.
func accepted(header []string, types ...string) float64 {
	if len(header) == 0 {
		return 1
	}
	quality, precision := 0.0, 0
	for _, line := range header {
		for entry := range strings.SplitSeq(line, ",") {
			kind, params, err := mime.ParseMediaType(entry)
			if err != nil {
				continue
			}
			q := 1.0
			if text, there := params["q"]; there {
				if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
					continue
				}
			}
			of := 0
			for _, t := range types {
				top, _, _ := strings.Cut(t, "/")
				switch {
				case t != "" && kind == t:
					of = max(of, 3)
				case t != "" && kind == top+"/*":
					of = max(of, 2)
				case kind == "*/*":
					of = max(of, 1)
				}
			}
			if of > precision || of == precision && of > 0 && q > quality {
				quality, precision = q, of
			}
		}
	}
	return quality
}

// runStatusHeader says what the run was when its outputs began to be read: those of a
// running run are not all.
const runStatusHeader = "Redrive-Run-Status"

// getOutputs is GET /workflow-runs/{id}/outputs: all outputs that there are, as they are
// read.
func (a *api) getOutputs(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	format, err := r.outputFormat()
	if err != nil {
		return err
	}
	outputs, err := a.svc.Outputs(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	defer outputs.Close()
	h := w.Header()
	h.Set("Vary", "Accept")
	h.Set(runStatusHeader, string(outputs.Run.Status))
	contentType := format.contentType
	if strings.HasPrefix(contentType, "text/") {
		contentType += "; charset=utf-8"
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", disposition("attachment", "redrive-"+string(id)+"."+format.name))
	h.Set("Content-Security-Policy", sandboxed)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	// The answer begins with the first write. An error before that is answered in words.
	err = format.write(outputs, r.Context(), w)
	if err != nil {
		for _, name := range []string{"Vary", runStatusHeader, "Content-Disposition"} {
			h.Del(name)
		}
	}
	return err
}
