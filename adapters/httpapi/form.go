package httpapi

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxFieldBytes bounds a form field that is not a file.
const maxFieldBytes = 1024

// readForm reads a multipart form part by part, in the order in which they arrive. If
// the template is a field, it has to come before the first file, because it is checked
// before anything is stored. Each file is stored as it arrives, so an upload of any
// size needs little memory.
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
		if malformed, ok := errors.AsType[textproto.ProtocolError](err); ok && strings.Contains(malformed.Error(), "header") {
			return core.InvalidField(fileField(in.files), "the header of this part cannot be read; a file name may have no control characters")
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
	// Not part.FileName, which leaves folders out: sub/readme.txt is not other/readme.txt.
	disposition, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return core.InvalidField("body", "has a part whose Content-Disposition cannot be read; quote the names in it")
	}
	name := params["name"]
	if disposition != "form-data" {
		name = ""
	}
	switch name {
	case "files":
		return a.readFilePart(r, part, params, in)
	case "template":
		value, err := readField(part, name)
		if err != nil {
			return err
		}
		return in.setTemplate(value)
	case "maxRetryCount":
		value, err := readField(part, name)
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

// readFilePart uploads one file.
func (a *api) readFilePart(r *request, part *multipart.Part, params map[string]string, in *initiation) error {
	index := in.files
	name, ok := params["filename"]
	if !ok {
		return core.InvalidField(fileField(index), "must be a file with a name")
	}
	if err := a.beginUpload(r, in, 0); err != nil {
		return err
	}
	content, err := decoded(part, fileField(index))
	if err != nil {
		return err
	}
	return in.add(r, name, content)
}

func fileField(index int) string { return "files[" + strconv.Itoa(index) + "]" }

func readField(part *multipart.Part, name string) (string, error) {
	content, err := decoded(part, name)
	if err != nil {
		return "", err
	}
	value, err := io.ReadAll(io.LimitReader(content, maxFieldBytes+1))
	if err != nil {
		return "", content.cause(err)
	}
	if len(value) > maxFieldBytes {
		return "", core.InvalidField(name, "may have at most %d bytes", maxFieldBytes)
	}
	return strings.TrimSpace(string(value)), nil
}

// formError is the refusal of a form that could not be read to its end.
func formError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bodyError(err)
	}
	return core.InvalidField("body", "is not a complete multipart/form-data body")
}
