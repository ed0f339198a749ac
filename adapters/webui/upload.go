package webui

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// maxFieldBytes bounds a field of the upload form that is not a file.
const maxFieldBytes = 1024

// newRunForm is what has been read of the form of a new run.
type newRunForm struct {
	key, template, retries string
	shown                  map[string]core.Credits // prices per file, as the page showed them
	tenant                 core.TenantID
	announced              int         // files, by a script; 0: not known
	upload                 *app.Upload // nil until there is a file
	refused                []refusedFile
	count                  int // of files that arrived, accepted or not
}

// refusedFile is a file that was refused, and why.
type refusedFile struct {
	Index   int    `json:"index"` // among the files of the form
	Name    string `json:"name"`
	Message string `json:"message"`
}

// uploadRefusal is the script's answer to a refused form.
type uploadRefusal struct {
	// Key is for the next try: the old key would give this refusal again.
	Key     string        `json:"key,omitempty"`
	Message string        `json:"message"`
	Fields  []fieldError  `json:"fields,omitempty"`
	Files   []refusedFile `json:"files,omitempty"`
	// Template is the chosen one as it is now, if its price has changed.
	Template *templateChoice `json:"template,omitempty"`
}

// readUpload reads the form part by part, in the order in which they arrive. The fields
// come before the first file, so that they are checked before anything is stored. Each
// file is stored as it arrives, so an upload of any size needs little memory. A refused
// file does not end the reading, so that the answer names all refused files.
func (u *ui) readUpload(w http.ResponseWriter, r *request, tenant core.TenantID) (newRunForm, error) {
	in := newRunForm{tenant: tenant, shown: map[string]core.Credits{}}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return in, core.InvalidField("body", "is not the form of this page")
	}
	form := multipart.NewReader(http.MaxBytesReader(w, r.Body, u.cfg.MaxUploadBytes), params["boundary"])
	for {
		part, err := form.NextPart()
		// The bare EOF is the form's end; one that is wrapped is a body cut short.
		if err == io.EOF {
			return in, in.check()
		}
		if err != nil {
			return in, r.uploadError(u, err)
		}
		if err := u.readPart(r, part, &in); err != nil {
			return in, err
		}
		if in.upload != nil && in.upload.Hopeless() {
			return in, nil // enough mistakes for one answer
		}
	}
}

func (f *newRunForm) check() error {
	var wrong []core.FieldError
	if f.template == "" {
		wrong = append(wrong, core.FieldError{Field: "template", Message: "is required"})
	}
	if n, err := strconv.Atoi(f.retries); err != nil || n < 1 || n > core.MaxMaxRetryCount {
		wrong = append(wrong, core.FieldError{Field: "maxRetryCount"})
	}
	return core.Invalid(wrong...)
}

func (l language) uploadError(u *ui, err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return core.InvalidField("files", "%s", l.T("new.files.total", l.Bytes(u.cfg.MaxUploadBytes)))
	}
	return core.InvalidField("files", "%s", l.T("new.files.cut"))
}

func (u *ui) readPart(r *request, part *multipart.Part, in *newRunForm) error {
	name := part.FormName()
	if name == "files" {
		return u.readFilePart(r, part, in)
	}
	value, err := io.ReadAll(io.LimitReader(part, maxFieldBytes))
	if err != nil {
		return r.uploadError(u, err)
	}
	text := strings.TrimSpace(string(value))
	switch id, isPrice := strings.CutPrefix(name, "shown."); {
	case isPrice:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			in.shown[id] = core.Credits(n)
		}
	case name == "count":
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			in.announced = n
		}
	case name == "key":
		in.key = text
	case name == "template":
		if text != "" && !core.ValidID(text) {
			text = ""
		}
		in.template = text
	case name == "retries":
		in.retries = text
	}
	return nil
}

// fileName is the file's name as the browser sent it: with its folder, if a folder was
// chosen. Part.FileName would remove the folder.
func fileName(part *multipart.Part) string {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return part.FileName()
	}
	return strings.TrimLeft(params["filename"], "/")
}

// readFilePart uploads one file.
func (u *ui) readFilePart(r *request, part *multipart.Part, in *newRunForm) error {
	name := fileName(part)
	if name == "" {
		return nil // a browser sends a part without a name for an empty file input
	}
	if err := u.begin(r, in); err != nil {
		return err
	}
	index := in.count
	in.count++
	if most := u.svc.Options().MaxFiles; index >= most {
		return core.InvalidField("files", "%s", r.T("new.files.many", most))
	}
	content := &fileContent{from: part}
	_, err := in.upload.Add(r.Context(), name, content)
	e, refused := errors.AsType[*core.Error](err)
	switch {
	case err == nil:
	case content.err != nil:
		return r.uploadError(u, content.err)
	case refused && (e.Code == core.CodeInvalidRequest || e.Code == core.CodePayloadTooLarge):
		in.refused = append(in.refused, refusedFile{Index: index, Name: visible(name), Message: r.refusedWords(u, name, content, e)})
	default:
		return err
	}
	return nil
}

// begin checks what can be checked before a byte is stored.
func (u *ui) begin(r *request, in *newRunForm) error {
	if in.upload != nil {
		return nil
	}
	if err := in.check(); err != nil {
		return err
	}
	retries, err := strconv.Atoi(in.retries)
	if err != nil {
		return err // not reached: check has refused an invalid number
	}
	req := app.UploadRequest{
		Tenant: in.tenant, Template: core.TemplateID(in.template), Files: in.announced, MaxRetryCount: &retries,
		MaxFileBytes: u.cfg.MaxFileBytes, IdempotencyKey: core.Key(in.key),
	}
	if in.announced > 0 {
		if req.MaxPrice, err = in.most(in.announced); err != nil {
			return err
		}
	}
	in.upload, err = u.svc.BeginUpload(r.Context(), r.actor(), req)
	return err
}

// most is the cost of this many files at the price that the page showed; nil if it showed
// none.
func (f *newRunForm) most(files int) (*core.Credits, error) {
	shown, ok := f.shown[f.template]
	if !ok {
		return nil, nil // any price
	}
	price, err := shown.Times(files)
	return &price, err
}

// refusedWords says why a file is refused; the executor words its own refusals.
func (l language) refusedWords(u *ui, name string, content *fileContent, e *core.Error) string {
	switch {
	case e.Code == core.CodePayloadTooLarge:
		return l.T("file.too_large", l.Bytes(u.cfg.MaxFileBytes))
	case content.read == 0:
		return l.T("file.empty")
	case len(e.Fields) == 0:
		return e.Message
	}
	return visible(strings.TrimPrefix(e.Fields[0].Message, fmt.Sprintf("%q: ", name)))
}

// fileContent reads one file, and remembers how many bytes it read and its error.
type fileContent struct {
	from io.Reader
	read int64 // bytes
	err  error // other than io.EOF
}

// Read implements io.Reader.
func (c *fileContent) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
