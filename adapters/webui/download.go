package webui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// attach makes an answer a download, so that no browser shows text of a model or a
// tenant as a page of this server.
func attach(w http.ResponseWriter, kind, name string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
}

// fileOutput is GET /ui/runs/{id}/files/{index}/output.
func (u *ui) fileOutput(w http.ResponseWriter, r *request) error {
	id, index, err := r.fileIndex()
	if err != nil {
		return err
	}
	f, leave, err := u.svc.DownloadOutput(r.Context(), r.actor(), id, index)
	if err != nil {
		return err
	}
	defer leave()
	if f.Status != core.FileCompleted {
		return errNoPage
	}
	attach(w, "text/plain; charset=utf-8", app.EntryName(f))
	_, _ = io.WriteString(w, f.Output) // an error means that the client disconnected
	return nil
}

// inputName is the name of an input in a download.
func inputName(f core.File) string {
	return fmt.Sprintf("%05d-%s", f.Index+1, core.SaveName(f.Name, "file"))
}

// fileInput is GET /ui/runs/{id}/files/{index}/input: the uploaded content, unchanged. It
// has no Content-Length: a damaged content is only detected at its end, and then the
// download has to break off instead of looking complete.
func (u *ui) fileInput(w http.ResponseWriter, r *request) error {
	id, index, err := r.fileIndex()
	if err != nil {
		return err
	}
	f, content, err := u.svc.FileInput(r.Context(), r.actor(), id, index)
	if errors.Is(err, core.ErrFileNotFound) && errors.Is(err, ports.ErrNotFound) {
		return errContentGone
	}
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	attach(w, "application/octet-stream", inputName(f))
	_, err = io.Copy(w, content)
	return err
}

// outputsAs makes the handler of a download of a run's files, which are written as they are
// read. After an error the connection is closed, so that no browser keeps a partial one.
func (u *ui) outputsAs(kind, extension string, write func(*app.Outputs, context.Context, io.Writer) error) handler {
	return func(w http.ResponseWriter, r *request) error {
		id, err := r.runID()
		if err != nil {
			return err
		}
		outputs, err := u.svc.Outputs(r.Context(), r.actor(), id)
		if err != nil {
			return err
		}
		defer outputs.Close()
		attach(w, kind, "redrive-"+string(id)+extension)
		return write(outputs, r.Context(), w)
	}
}

// filesCSV writes the table of files, without outputs.
func filesCSV(o *app.Outputs, ctx context.Context, w io.Writer) error {
	return o.WriteCSV(ctx, w, false)
}
