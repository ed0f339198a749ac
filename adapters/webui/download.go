package webui

import (
	"archive/zip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// What a download holds in memory: the outputs, up to a length, of a group of files, and
// one longer output.
const (
	filesPerRead    = 64
	outputsTogether = 64 << 10
)

// attach makes an answer a download, so that no browser shows text of a model or a
// tenant as a page of this server.
func attach(w http.ResponseWriter, kind, name string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
}

// safeName makes a file's name safe for any file system.
func safeName(name string) string {
	name = path.Base(strings.ReplaceAll(name, "\\", "/"))
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || strings.ContainsRune(`<>:"/|?*`, c) {
			return '_'
		}
		return c
	}, name)
	if name = strings.Trim(name, ". "); name == "" {
		name = "file"
	}
	for len(name) > 120 {
		name = strings.ToValidUTF8(name[:120], "")
	}
	return name
}

// outputName is the name of an output in a download. It begins with the file's number,
// so that two files with the same name do not collide.
func outputName(f core.File) string {
	name := safeName(f.Name)
	if !strings.HasSuffix(strings.ToLower(name), ".txt") {
		name += ".txt"
	}
	return fmt.Sprintf("%05d-%s", f.Index+1, name)
}

// fileOutput is GET /ui/runs/{id}/files/{index}/output.
func (u *ui) fileOutput(w http.ResponseWriter, r *request) error {
	_, f, err := u.readFile(r)
	if err != nil {
		return err
	}
	if f.Status != core.FileCompleted {
		return errNoPage
	}
	attach(w, "text/plain; charset=utf-8", outputName(f))
	_, _ = io.WriteString(w, f.Output) // an error means that the client disconnected
	return nil
}

// inputName is the name of an input in a download.
func inputName(f core.File) string { return fmt.Sprintf("%05d-%s", f.Index+1, safeName(f.Name)) }

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

// eachFile reads a run's files in groups.
func (u *ui) eachFile(r *request, id core.RunID, filter ports.FileFilter, do func(core.File) error) error {
	for {
		files, err := u.svc.RunFiles(r.Context(), r.actor(), id, filter)
		if err != nil || len(files) == 0 {
			return err
		}
		for _, f := range files {
			if err := do(f); err != nil {
				return err
			}
		}
		filter.From = files[len(files)-1].Index + 1
	}
}

// outputsZIP is GET /ui/runs/{id}/outputs.zip: the outputs of the completed files,
// written as they are read. After an error the connection is closed, so that no browser
// keeps a partial archive.
func (u *ui) outputsZIP(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	if _, err := u.svc.Run(r.Context(), r.actor(), id); err != nil {
		return err
	}
	attach(w, "application/zip", "redrive-"+string(id)+".zip")
	archive := zip.NewWriter(w)
	filter := ports.FileFilter{Limit: filesPerRead, Statuses: []core.FileStatus{core.FileCompleted}, OutputBytes: outputsTogether}
	err = u.eachFile(r, id, filter, func(f core.File) error {
		if f.OutputBytes > int64(len(f.Output)) {
			var err error
			if f, err = u.svc.FileOutput(r.Context(), r.actor(), id, f.Index); err != nil {
				return err
			}
		}
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: outputName(f), Method: zip.Deflate})
		if err != nil {
			return err
		}
		_, err = io.WriteString(entry, f.Output)
		return err
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// filesCSV is GET /ui/runs/{id}/files.csv: the table of files.
func (u *ui) filesCSV(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	view, err := u.svc.Run(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	attach(w, "text/csv; charset=utf-8", "redrive-"+string(id)+".csv")
	table := csv.NewWriter(w)
	err = table.Write([]string{"index", "name", "bytes", "status", "retries_used", "free_retries", "max_retries", "failure_code", "failure"})
	if err != nil {
		return err
	}
	err = u.eachFile(r, id, ports.FileFilter{Limit: 1000}, func(f core.File) error {
		return table.Write([]string{
			strconv.Itoa(f.Index), cell(f.Name), strconv.FormatInt(f.Size, 10), string(f.Status),
			strconv.Itoa(f.RetryAttempt - f.FreeRetries), strconv.Itoa(f.FreeRetries), strconv.Itoa(view.Run.MaxRetryCount),
			cell(f.Failure.Code), cell(f.Failure.Message),
		})
	})
	if err != nil {
		return err
	}
	table.Flush()
	return table.Error()
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
