package webui

import (
	"context"
	"errors"
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// problem is an error in words: what it means and what helps. The code is shown below it
// for the people who give support.
type problem struct {
	Title, Text, Help string
	Code, Request     string
	Back, BackText    string
}

// statuses are the HTTP statuses of the codes that a page can fail with; the rest is 400.
var statuses = map[core.Code]int{
	codeNoPage: http.StatusNotFound, codeContentGone: http.StatusGone, core.CodeFileNotFound: http.StatusNotFound, core.CodeRunNotFound: http.StatusNotFound,
	core.CodeTenantNotFound: http.StatusNotFound, core.CodeTemplateNotFound: http.StatusNotFound, core.CodeAPIKeyNotFound: http.StatusNotFound,
	core.CodeWebhookEndpointNotFound: http.StatusNotFound, core.CodeWebhookDeliveryNotFound: http.StatusNotFound, core.CodeWebhookEndpointPaused: http.StatusConflict,
	core.CodeTooManyWebhookEndpoints: http.StatusConflict, core.CodeWebhooksDisabled: http.StatusConflict, core.CodeTooManyPings: http.StatusConflict,

	core.CodeWrongTenant: http.StatusForbidden, core.CodeRoleNotAllowed: http.StatusForbidden,
	core.CodeRunAlreadyRunning: http.StatusConflict, core.CodeRunNotRunning: http.StatusConflict,
	core.CodeTenantExists: http.StatusConflict, core.CodeTemplateNotPublished: http.StatusConflict,
	core.CodeTemplateDeleted: http.StatusConflict, core.CodeTooManyAPIKeys: http.StatusConflict, core.CodePriceChanged: http.StatusConflict,
	core.CodeInsufficientCredits: http.StatusPaymentRequired, core.CodeTenantSuspended: http.StatusForbidden,
	core.CodeChargeNotFound: http.StatusNotFound, core.CodeRefundTooLarge: http.StatusConflict, core.CodeIdempotencyKeyReused: http.StatusUnprocessableEntity,
	core.CodeBulkNotFound: http.StatusNotFound, core.CodeBulkEnded: http.StatusConflict, core.CodeBulkTooManyNow: http.StatusConflict,
	core.CodePayloadTooLarge: http.StatusRequestEntityTooLarge, core.CodeUploadQuotaExceeded: http.StatusTooManyRequests,
	core.CodeTooManyDownloads: http.StatusTooManyRequests, codeRateLimited: http.StatusTooManyRequests,
	core.CodeEnqueueFailed: http.StatusServiceUnavailable, codeUnavailable: http.StatusServiceUnavailable,
	codeSignInDenied: http.StatusForbidden, codeSignInNoAccess: http.StatusForbidden,
	codeUnknown: http.StatusInternalServerError, codeInternal: http.StatusInternalServerError,
}

// refusalOf gives the refusal that the page shows; fault reports whether err is a fault,
// which has to be logged.
func refusalOf(err error) (refusal *core.Error, fault bool) {
	if e, ok := errors.AsType[*core.Error](err); ok {
		return e, e.Code == core.CodeEnqueueFailed
	}
	switch {
	case errors.Is(err, ports.ErrCommitUnknown):
		return &core.Error{Code: codeUnknown}, true
	case errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrLockTimeout),
		errors.Is(err, ports.ErrDeadlock), errors.Is(err, ports.ErrSerialization),
		errors.Is(err, context.DeadlineExceeded):
		return &core.Error{Code: codeUnavailable}, true
	}
	return &core.Error{Code: codeInternal}, true
}

// fail answers an error with a page in words. A fault is logged here, once.
func (u *ui) fail(w http.ResponseWriter, r *request, err error) {
	if errors.Is(err, errChooseTenant) {
		_ = r.redirect(w, Prefix+"tenants")
		return
	}
	refusal, fault := refusalOf(err)
	if fault && r.Context().Err() == nil {
		u.cfg.Log.ErrorContext(r.Context(), "page failed", "request_id", r.raw.id, "method", r.Method,
			"path", r.URL.Path, "code", refusal.Code, "error", err)
	}
	if r.raw.status != 0 {
		panic(http.ErrAbortHandler) // the answer has begun and cannot be completed
	}
	w.Header().Del("Content-Disposition") // of the download that failed
	w.Header().Set("Content-Security-Policy", contentPolicy)
	status, ok := statuses[refusal.Code]
	if !ok {
		status = http.StatusBadRequest
	}
	if err := u.renderProblem(w, r, status, refusal); err != nil {
		u.cfg.Log.ErrorContext(r.Context(), "an error page failed", "request_id", r.raw.id, "error", err)
		http.Error(w, r.T("problem.internal.title"), http.StatusInternalServerError)
	}
}

// renderStatus shows a problem that comes from no use case.
func (u *ui) renderStatus(w http.ResponseWriter, r *request, status int, code core.Code) error {
	return u.renderProblem(w, r, status, &core.Error{Code: code})
}

func (u *ui) renderProblem(w http.ResponseWriter, r *request, status int, e *core.Error) error {
	p := r.problem(e)
	p.Request = r.raw.id
	if r.wantsJSON() {
		return writeJSON(w, status, uploadRefusal{Message: p.Title + ". " + p.Text, Fields: r.fieldWords(e)})
	}
	return u.render(w, r, status, "problem.html", page{Title: p.Title, Bare: !r.signedIn(), Data: p})
}

// problem puts a refusal into words.
func (l language) problem(e *core.Error) problem {
	key := "problem." + string(e.Code)
	p := problem{Code: string(e.Code), Title: l.T(key + ".title"), Back: Prefix + "runs", BackText: l.T("problem.back")}
	if !l.Has(key + ".title") {
		p.Title = l.T("problem.other.title")
	}
	switch {
	case e.Code == core.CodeInsufficientCredits:
		p.Text = l.T(key+".text", int64(e.Needed-e.Available), int64(e.Needed), int64(e.Available))
	case e.Code == core.CodeRefundTooLarge:
		p.Text = l.T(key+".text", int64(e.Available))
	case e.Code == core.CodePriceChanged:
		p.Text = l.T(key+".text", int64(e.Price))
	case l.Has(key + ".text"):
		p.Text = l.T(key + ".text")
	default:
		p.Text = e.Message
	}
	if l.Has(key + ".help") {
		p.Help = l.T(key + ".help")
	}
	return p
}

// fieldError is what is wrong with one field, for the script.
type fieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (l language) fieldWords(e *core.Error) []fieldError {
	list := make([]fieldError, 0, len(e.Fields))
	for _, f := range e.Fields {
		list = append(list, fieldError{Field: f.Field, Message: l.fieldMessage(f)})
	}
	return list
}

// fieldMessage says what a field needs, or else gives the rules' own message.
func (l language) fieldMessage(f core.FieldError) string {
	if key := "field." + f.Field; l.Has(key) {
		return l.T(key)
	}
	return f.Message
}

// messages are the field errors of a refusal, by field.
func (l language) messages(e *core.Error) map[string]string {
	m := map[string]string{}
	if e != nil {
		for _, f := range e.Fields {
			m[f.Field] = l.fieldMessage(f)
		}
	}
	return m
}
