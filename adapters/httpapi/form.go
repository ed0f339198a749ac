package httpapi

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxFieldBytes bounds a form's field that is no file.
const maxFieldBytes = 1024

// readForm reads a multipart form part by part, in whichever order they come.
// Each file goes to the store as it arrives, so an upload of any size needs
// little memory, and nothing is taken back if a later part is refused: what is
// stored belongs to no run.
func (a *api) readForm(r *request, boundary string, in *initiation) error {
	if boundary == "" {
		return core.InvalidField("Content-Type", "multipart/form-data needs a boundary")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return refused(codeUnsupportedMedia, "send the body without Content-Encoding")
	}
	if r.ContentLength > a.cfg.MaxUploadBytes {
		return bodyTooLarge(a.cfg.MaxUploadBytes)
	}
	form := multipart.NewReader(r.Body, boundary)
	for {
		part, err := form.NextPart()
		// The bare EOF is the form's end; one that is wrapped is a body cut short.
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return formError(err)
		}
		if err := a.readPart(r, part, in); err != nil {
			return err
		}
	}
}

func (a *api) readPart(r *request, part *multipart.Part, in *initiation) error {
	switch name := part.FormName(); name {
	case "files":
		return a.readFilePart(r, part, in)
	case "template":
		value, err := readField(part)
		if err != nil {
			return err
		}
		return in.setTemplate(value)
	case "maxRetryCount":
		value, err := readField(part)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return core.InvalidField("maxRetryCount", "must be a whole number")
		}
		return in.setMaxRetryCount(n)
	case "":
		return core.InvalidField("body", "has a part without a name")
	default:
		return core.InvalidField(printableField(name), `is not a field of this form; it has "template", "maxRetryCount" and any number of "files"`)
	}
}

// readFilePart stores one file.
func (a *api) readFilePart(r *request, part *multipart.Part, in *initiation) error {
	index, limit := len(in.files), a.svc.Options().MaxFiles
	if index == limit {
		return core.InvalidField("files", "may be at most %d files", limit)
	}
	if part.FileName() == "" {
		return core.InvalidField("files["+strconv.Itoa(index)+"]", "must be a file with a name")
	}
	content := &fileContent{from: part, left: a.cfg.MaxFileBytes}
	stored, err := a.svc.StoreFile(r.Context(), r.actor, in.tenant, part.FileName(), content)
	// What the reader met is looked at first: it is the cause of whatever the
	// store made of it.
	switch {
	case content.tooLarge:
		return a.fileTooLarge(index)
	case content.err != nil:
		return formError(content.err)
	case err != nil:
		return err
	}
	in.files = append(in.files, stored)
	return nil
}

func readField(part *multipart.Part) (string, error) {
	value, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	if err != nil {
		return "", formError(err)
	}
	if len(value) > maxFieldBytes {
		return "", core.InvalidField(part.FormName(), "may have at most %d bytes", maxFieldBytes)
	}
	return strings.TrimSpace(string(value)), nil
}

// formError tells what is wrong with a form that could not be read to its end.
func formError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bodyError(err)
	}
	return core.InvalidField("body", "is not a complete multipart/form-data body")
}

// errFileTooLarge ends the storing of a file that is over its limit.
var errFileTooLarge = errors.New("file too large")

// fileContent reads one file up to its limit and remembers how that ended,
// because a store may pass a reader's error on in words of its own.
type fileContent struct {
	from     io.Reader
	left     int64 // bytes
	tooLarge bool
	err      error // other than io.EOF
}

// Read fails with errFileTooLarge as soon as there is a byte too much.
func (c *fileContent) Read(p []byte) (int, error) {
	if c.tooLarge {
		return 0, errFileTooLarge
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.from.Read(p)
	if int64(n) > c.left {
		c.tooLarge = true
		return 0, errFileTooLarge
	}
	c.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
