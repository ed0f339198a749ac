package webui

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxFieldBytes bounds a field of the upload form that is no file.
const maxFieldBytes = 1024

// newRunForm is what the form of a new run has said.
type newRunForm struct {
	key, template, retries string
	shown                  map[string]core.Credits // prices per file, as the page showed them
	files                  []core.NewFile
	refused                []refusedFile
	count                  int // of files that came, accepted or not
}

// refusedFile is a file that cannot be taken, and why.
type refusedFile struct {
	Index   int    `json:"index"` // among the files of the form
	Name    string `json:"name"`
	Message string `json:"message"`
}

// uploadRefusal tells the script what is wrong, and where.
type uploadRefusal struct {
	// Key is for the next try: under the one before, this refusal would be repeated.
	Key     string        `json:"key,omitempty"`
	Message string        `json:"message"`
	Fields  []fieldError  `json:"fields,omitempty"`
	Files   []refusedFile `json:"files,omitempty"`
	// Template is the chosen one as it is now, if its price has changed.
	Template *templateChoice `json:"template,omitempty"`
}

// readUpload reads the form part by part. Each file goes to the store as it arrives,
// so an upload of any size needs little memory. What is wrong with one file does not
// end the reading: all that is wrong is told at once.
func (u *ui) readUpload(w http.ResponseWriter, r *request, tenant core.TenantID) (newRunForm, error) {
	in := newRunForm{shown: map[string]core.Credits{}}
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
		if err := u.readPart(r, part, tenant, &in); err != nil {
			return in, err
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

func (u *ui) readPart(r *request, part *multipart.Part, tenant core.TenantID, in *newRunForm) error {
	name := part.FormName()
	if name == "files" {
		return u.readFilePart(r, part, tenant, in)
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
	case name == "key":
		in.key = text
	case name == "template":
		if text != "" && !validID(text) {
			text = ""
		}
		in.template = text
	case name == "retries":
		in.retries = text
	}
	return nil
}

// fileName is what the browser says the file is called: with its folder, if a folder
// was chosen. Part.FileName would take that off.
func fileName(part *multipart.Part) string {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return part.FileName()
	}
	return strings.TrimLeft(params["filename"], "/")
}

func (u *ui) readFilePart(r *request, part *multipart.Part, tenant core.TenantID, in *newRunForm) error {
	name := fileName(part)
	if name == "" {
		return nil // a browser sends a part without a name for an input in which nothing was chosen
	}
	index := in.count
	in.count++
	if most := u.svc.Options().MaxFiles; index >= most {
		return core.InvalidField("files", "%s", r.T("new.files.many", most))
	}
	refuse := func(message string) {
		in.refused = append(in.refused, refusedFile{Index: index, Name: visible(name), Message: message})
	}
	content := &fileContent{from: part, left: u.cfg.MaxFileBytes}
	stored, err := u.svc.StoreFile(r.Context(), r.actor(), tenant, name, content)
	// What the reader met is looked at first: it is the cause of whatever the store
	// made of it.
	switch {
	case content.tooLarge:
		refuse(r.T("file.too_large", r.Bytes(u.cfg.MaxFileBytes)))
		_, err := io.Copy(io.Discard, part) // bounded by the whole form's limit
		if err != nil {
			return r.uploadError(u, err)
		}
	case content.err != nil:
		return r.uploadError(u, content.err)
	case err != nil:
		return err
	case stored.Size == 0:
		refuse(r.T("file.empty"))
	default:
		in.files = append(in.files, stored)
	}
	return nil
}

// errFileTooLarge ends the storing of a file that is over its limit.
var errFileTooLarge = errors.New("file too large")

// fileContent reads one file up to its limit and remembers how that ended, because a
// store may pass a reader's error on in words of its own.
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
