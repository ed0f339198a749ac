package httpapi

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// initiation is what a request for a new run has said so far, in whichever form.
type initiation struct {
	tenant        core.TenantID
	template      string
	hasTemplate   bool
	maxRetryCount *int
	maxPrice      *core.Credits
	files         []core.NewFile
}

// initiate is POST /workflow-runs, as multipart/form-data or as JSON.
func (a *api) initiate(w http.ResponseWriter, r *request) error {
	var in initiation
	var err error
	if in.tenant, err = r.queryTenant(); err != nil {
		return err
	}
	// Asked again by the use case; here it spares a stranger's upload.
	if err := core.Authorize(r.actor, core.ActionInitiate, in.tenant); err != nil {
		return err
	}
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	if in.maxPrice, err = r.maxPrice(); err != nil {
		return err
	}
	template, err := r.query("template")
	if err != nil {
		return err
	}
	if template != "" {
		if err := in.setTemplate(template); err != nil {
			return err
		}
	}

	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	switch media {
	case "multipart/form-data":
		err = a.readForm(r, params["boundary"], &in)
	case "application/json":
		err = a.readInline(w, r, &in)
	default:
		err = refused(codeUnsupportedMedia, "send the files as multipart/form-data, or text inline as application/json")
	}
	if err != nil {
		return err
	}
	if !in.hasTemplate {
		return core.InvalidField("template", "is required: the ID of the template")
	}
	run, err := a.svc.Initiate(r.Context(), r.actor, app.InitiateRequest{
		Tenant: in.tenant, Template: core.TemplateID(in.template), Files: in.files,
		MaxRetryCount: in.maxRetryCount, MaxPrice: in.maxPrice, IdempotencyKey: key,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/workflow-runs/"+string(run.ID))
	return writeJSON(w, http.StatusCreated, a.answeredRun(r, run))
}

// setTemplate takes the template's ID from wherever it was given; giving it in
// two places is refused, because they could differ.
func (in *initiation) setTemplate(id string) error {
	if in.hasTemplate {
		return core.InvalidField("template", "is there twice; give it once")
	}
	if !validID(id) {
		return core.InvalidField("template", "is not the ID of a template")
	}
	in.template, in.hasTemplate = id, true
	return nil
}

func (in *initiation) setMaxRetryCount(n int64) error {
	if in.maxRetryCount != nil {
		return core.InvalidField("maxRetryCount", "is there twice; give it once")
	}
	// Looked at before it is made an int, which may be too small for it.
	if n < 1 || n > core.MaxMaxRetryCount {
		return core.InvalidField("maxRetryCount", "must be 1 to %d", core.MaxMaxRetryCount)
	}
	count := int(n)
	in.maxRetryCount = &count
	return nil
}

// readInline reads {template, maxRetryCount, files: [{name, text}]}. Everything
// that can be checked is, before the first file is kept.
func (a *api) readInline(w http.ResponseWriter, r *request, in *initiation) error {
	body, err := a.readObject(w, r, min(maxInlineBytes, a.cfg.MaxUploadBytes))
	if err != nil {
		return err
	}
	template := body.optionalString("template")
	retries := body.optionalInt("maxRetryCount")
	list := body.objects("files", a.svc.Options().MaxFiles)
	texts := make([]string, len(list))
	wanted := core.NewRun{Files: make([]core.NewFile, len(list)), MaxFiles: a.svc.Options().MaxFiles}
	for i, f := range list {
		wanted.Files[i].Name, texts[i] = f.string("name"), f.string("text")
		f.rest()
	}
	if err := body.done(); err != nil {
		return err
	}
	if template != nil {
		if err := in.setTemplate(*template); err != nil {
			return err
		}
	}
	if retries != nil {
		if err := in.setMaxRetryCount(*retries); err != nil {
			return err
		}
	}
	if _, err := core.CheckNewRun(wanted); err != nil {
		return err
	}
	for i, text := range texts {
		if int64(len(text)) > a.cfg.MaxFileBytes {
			return a.fileTooLarge(i)
		}
	}
	for i, text := range texts {
		f, err := a.svc.StoreFile(r.Context(), r.actor, in.tenant, wanted.Files[i].Name, strings.NewReader(text))
		if err != nil {
			return err
		}
		in.files = append(in.files, f)
	}
	return nil
}

func (a *api) fileTooLarge(index int) error {
	message := fmt.Sprintf("may have at most %d bytes", a.cfg.MaxFileBytes)
	e := refused(codePayloadTooLarge, "a file %s", message)
	e.Fields = []core.FieldError{{Field: fmt.Sprintf("files[%d]", index), Message: message}}
	return e
}
