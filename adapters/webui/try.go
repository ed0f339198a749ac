package webui

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// tryView is the form that tries a template on one file, and the result.
type tryView struct {
	URL    string
	Fields []Field
	Result *tryResult
}

type tryResult struct {
	Badge   Badge
	Name    string
	Version string
	Output  string
	Cut     string // how much of it is shown, if not all
	Failure *failure
	Done    bool
}

// tryForm is the input: a file, or a pasted text.
type tryForm struct {
	name    string // of the file; empty: the text
	content []byte
	text    string
	large   string // the field whose content is too large
}

// field is the form field that has the input.
func (f tryForm) field() string {
	if f.name == "" && f.text != "" {
		return "text"
	}
	return "file"
}

func (u *ui) tryView(r *request, tenant core.TenantID, id core.TemplateID, text string, wrong map[string]string) *tryView {
	return &tryView{
		URL: r.of(tenant, addr("templates", string(id), "try")) + "#try",
		Fields: []Field{
			{Name: "file", Label: r.T("try.file"), Hint: r.T("try.file.hint", r.Bytes(u.cfg.MaxFileBytes)), Type: "file", Error: wrong["file"]},
			{Name: "text", Label: r.T("try.text"), Value: text, Rows: 5, Error: wrong["text"]},
		},
	}
}

// tryTemplate is POST /ui/templates/{id}/try. The answer is the template's page with the
// result: nothing is stored that another page could show.
func (u *ui) tryTemplate(w http.ResponseWriter, r *request) error {
	tenant, t, err := u.templateOf(r)
	if err != nil {
		return err
	}
	if err := core.Authorize(r.actor(), core.ActionManageTemplates, tenant); err != nil {
		return err
	}
	if err := t.NotDeleted(); err != nil {
		return err
	}
	u.cfg.Uploads(r.Request)
	f, err := u.readTry(w, r)
	var result core.FileResult
	if err == nil {
		name := f.name
		if name == "" {
			name = "text.txt"
		}
		result, err = u.svc.TryTemplate(r.Context(), r.actor(), tenant, t.ID, name, f.content)
	}
	status, wrong := http.StatusOK, map[string]string{}
	if err != nil {
		if status, err = r.tryWrong(u, f, err, wrong); err != nil {
			return err
		}
	}
	v := u.tryView(r, tenant, t.ID, f.text, wrong)
	if len(wrong) == 0 {
		v.Result = r.tryResult(f, t, result)
	}
	return u.showTemplate(w, r, status, tenant, t, formOfTemplate(t), nil, v)
}

// readTry reads the form. It holds the file in memory, because the executor checks it.
func (u *ui) readTry(w http.ResponseWriter, r *request) (tryForm, error) {
	var f tryForm
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return f, core.InvalidField("body", "is not the form of this page")
	}
	form := multipart.NewReader(http.MaxBytesReader(w, r.Body, u.cfg.MaxUploadBytes), params["boundary"])
	for {
		part, err := form.NextPart()
		// The bare EOF is the form's end; one that is wrapped is a body cut short.
		if err == io.EOF {
			return f, f.choose(r)
		}
		if err != nil {
			return f, core.InvalidField("file", "%s", r.T("try.cut"))
		}
		if err := u.readTryPart(part, &f); err != nil {
			return f, core.InvalidField("file", "%s", r.T("try.cut"))
		}
	}
}

func (u *ui) readTryPart(part *multipart.Part, f *tryForm) error {
	name, most := part.FormName(), u.mostText()
	if name == "file" {
		if f.name = fileName(part); f.name == "" {
			return nil // nothing was chosen
		}
		most = u.cfg.MaxFileBytes
	}
	content, err := io.ReadAll(io.LimitReader(part, most+1))
	if err != nil {
		return err
	}
	if int64(len(content)) > most {
		f.large, content = name, nil
	}
	switch name {
	case "file":
		f.content = content
	case "text":
		f.text = strings.ReplaceAll(string(content), "\r\n", "\n")
	}
	return nil
}

// mostText is how many bytes a pasted text may have.
func (u *ui) mostText() int64 { return min(maxFormBytes, u.cfg.MaxFileBytes) }

// choose takes the file, or else the text.
func (f *tryForm) choose(r *request) error {
	switch {
	case f.large == "text":
		return core.InvalidField("text", "%s", r.T("file.too_large", r.Bytes(r.ui.mostText())))
	case f.large == "file":
		return &core.Error{Code: core.CodePayloadTooLarge}
	case f.name != "":
		return nil
	case strings.TrimSpace(f.text) == "":
		return core.InvalidField("file", "%s", r.T("try.none"))
	}
	f.content = []byte(f.text)
	return nil
}

// tryWrong assigns a refusal to the field that it concerns, and gives the status. An
// error that concerns no field is returned.
func (l language) tryWrong(u *ui, f tryForm, err error, wrong map[string]string) (int, error) {
	if errors.Is(err, app.ErrTrialsBusy) {
		wrong[f.field()] = l.T("try.busy")
		return http.StatusServiceUnavailable, nil
	}
	e, ok := errors.AsType[*core.Error](err)
	switch {
	case ok && e.Code == core.CodePayloadTooLarge:
		wrong[f.field()] = l.T("file.too_large", l.Bytes(u.cfg.MaxFileBytes))
		return http.StatusRequestEntityTooLarge, nil
	case !ok || e.Code != core.CodeInvalidRequest || len(e.Fields) == 0 || e.Fields[0].Field == "body":
		return 0, err
	case e.Fields[0].Field == "file" && f.name != "" && len(f.content) == 0:
		wrong["file"] = l.T("file.empty")
	case e.Fields[0].Field == "text":
		wrong["text"] = e.Fields[0].Message
	default:
		wrong[f.field()] = visible(e.Fields[0].Message)
	}
	return http.StatusUnprocessableEntity, nil
}

// tryResult gives the result in words.
func (l language) tryResult(f tryForm, t core.Template, r core.FileResult) *tryResult {
	v := &tryResult{Name: visible(f.name), Version: l.T("attempt.version", t.Version)}
	if f.name == "" {
		v.Name = l.T("try.text.name")
	}
	switch r.Outcome {
	case core.OutcomeCompleted:
		v.Badge, v.Done, v.Output = Badge{Text: l.T("file.status.completed"), Tone: ToneGood}, true, r.Output
		if len(v.Output) > outputShown {
			v.Output = v.Output[:outputShown]
			v.Cut = l.T("try.shown", l.Bytes(outputShown), l.Bytes(int64(len(r.Output))))
		}
		return v
	case core.OutcomePermanent:
		v.Badge = Badge{Text: l.T("file.status.error"), Tone: ToneBad}
	case core.OutcomeTransient:
		v.Badge = Badge{Text: l.T("file.status.failed"), Tone: ToneWarn}
	case core.OutcomeInterrupted:
		v.Badge = Badge{Text: l.T("file.status.interrupted"), Tone: ToneWarn}
	}
	v.Failure = &failure{Code: r.Failure.Code, Text: r.Failure.Message, Whose: l.T("try.fault." + string(r.Outcome))}
	if key := "failure." + r.Failure.Code; l.Has(key) {
		v.Failure.Text, v.Failure.Said = l.T(key), r.Failure.Message
	}
	if r.Failure.Code == core.FailureOutputTooLarge || r.Failure.Code == "output_truncated" {
		v.Failure.Whose = l.T("try.fault.length")
	}
	return v
}
