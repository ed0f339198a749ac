package httpapi

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// initiation is what has been read of a request for a new run, as a form or as JSON.
type initiation struct {
	tenant        core.TenantID
	template      string
	hasTemplate   bool
	maxRetryCount *int
	maxPrice      *core.Credits
	key           core.Key
	upload        *app.Upload // nil until there is a file
	files         int         // that arrived, refused ones included
}

// initiate is POST /workflow-runs, as multipart/form-data or as JSON.
func (a *api) initiate(w http.ResponseWriter, r *request) error {
	var in initiation
	var err error
	if in.tenant, err = r.queryTenant(); err != nil {
		return err
	}
	if in.key, err = r.idempotencyKey(); err != nil {
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

	// If this ends before the run is made, also by a panic or because the client
	// disconnects, nothing of the upload is kept.
	defer func() {
		if in.upload != nil {
			in.upload.Discard(r.Context())
		}
	}()
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
	if err := a.beginUpload(r, &in, 0); err != nil { // if there was no file
		return err
	}
	run, err := a.svc.Initiate(r.Context(), r.actor, app.InitiateRequest{
		Tenant: in.tenant, Template: core.TemplateID(in.template), Upload: in.upload,
		MaxRetryCount: in.maxRetryCount, MaxPrice: in.maxPrice, IdempotencyKey: in.key,
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", a.cfg.Prefix+"/workflow-runs/"+string(run.ID))
	return writeJSON(w, http.StatusCreated, a.answeredRun(r, run))
}

// setTemplate takes the template's ID from the query, a form field or the JSON body. A
// second ID is refused, because the two could differ.
func (in *initiation) setTemplate(id string) error {
	if in.hasTemplate {
		return core.InvalidField("template", "is there twice; give it once")
	}
	if !core.ValidID(id) {
		return core.InvalidField("template", "is not the ID of a template")
	}
	in.template, in.hasTemplate = id, true
	return nil
}

func (in *initiation) setMaxRetryCount(n int64) error {
	if in.maxRetryCount != nil {
		return core.InvalidField("maxRetryCount", "is there twice; give it once")
	}
	// Checked before the conversion to an int, which may be too small for it.
	if n < 1 || n > core.MaxMaxRetryCount {
		return core.InvalidField("maxRetryCount", "must be 1 to %d", core.MaxMaxRetryCount)
	}
	count := int(n)
	in.maxRetryCount = &count
	return nil
}

// readInline reads {template, maxRetryCount, files: [{name, text}]}. It checks all that
// it can before the first file is stored.
func (a *api) readInline(w http.ResponseWriter, r *request, in *initiation) error {
	body, err := a.readObject(w, r, min(maxInlineBytes, a.cfg.MaxUploadBytes))
	if err != nil {
		return err
	}
	template := body.optionalString("template")
	retries := body.optionalInt("maxRetryCount")
	list := body.objects("files", a.svc.Options().MaxFiles)
	names, texts := make([]string, len(list)), make([]string, len(list))
	for i, f := range list {
		names[i], texts[i] = f.string("name"), f.string("text")
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
	if len(list) == 0 {
		return core.InvalidField("files", "must be 1 to %d files, not 0", a.svc.Options().MaxFiles)
	}
	if err := a.beginUpload(r, in, len(list)); err != nil {
		return err
	}
	for i, text := range texts {
		if err := in.add(r, names[i], &partContent{field: fileField(i), from: strings.NewReader(text), part: &observed{}}); err != nil {
			return err
		}
	}
	return nil
}

// beginUpload begins the upload, once; from then on files can be added. files is how
// many there will be, 0 if that is not known.
func (a *api) beginUpload(r *request, in *initiation, files int) (err error) {
	if in.upload != nil {
		return nil
	}
	if !in.hasTemplate {
		return core.InvalidField("template", "is required: the ID of the template, as ?template= or as a field before the first file")
	}
	in.upload, err = a.svc.BeginUpload(r.Context(), r.actor, app.UploadRequest{
		Tenant: in.tenant, Template: core.TemplateID(in.template), Files: files,
		MaxRetryCount: in.maxRetryCount, MaxPrice: in.maxPrice, MaxFileBytes: a.cfg.MaxFileBytes, IdempotencyKey: in.key,
	})
	return err
}

// add uploads one file. A refused file does not end the upload, so that the client
// learns of all of them; Initiate names them all.
func (in *initiation) add(r *request, name string, content *partContent) error {
	in.files++
	_, err := in.upload.Add(r.Context(), name, content)
	if err == nil {
		return nil
	}
	if err := content.cause(nil); err != nil {
		return err
	}
	refused := in.upload.Refused()
	switch e, ok := errors.AsType[*core.Error](err); {
	case !ok || refused == nil || e.Code != core.CodeInvalidRequest && e.Code != core.CodePayloadTooLarge:
		return err
	case in.upload.Hopeless():
		return refused
	default:
		return nil
	}
}
