package webui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// action is the button with what it will do, or with why it is disabled and what helps.
type action struct {
	URL     string
	Enabled bool
	Promise []string // what it will do and cost, a line each
	Why     string   // why it cannot
	Help    string   // what would help
	Link    string   // address of the page that helps; with LinkText
	Text    string
	Blocked []string // names of files that have used all their retries
	More    string   // how many more there are

	// Hidden fields of the form: the price and the attempt that were shown, and an
	// idempotency key, so that sending this form again has no further effect.
	Price   int64
	Attempt int
	Key     string
}

// blockedShown is how many files are named that block a Continue.
const blockedShown = 5

// continueAction gives what a Continue would do now.
func (u *ui) continueAction(r *request, view app.RunView) (action, error) {
	run := view.Run
	a := action{
		URL: addr("runs", string(run.ID), "continue"), Attempt: int(run.Attempt), Key: rand.Text(),
	}
	if run.Status == core.RunRunning {
		a.Why, a.Help = r.T("continue.running"), r.T("continue.running.help")
		return a, nil
	}
	preview, err := u.svc.PreviewRetry(r.Context(), r.actor(), run.ID)
	if errors.Is(err, core.ErrRoleNotAllowed) {
		a.Why, a.Help = r.T("continue.role"), r.T("continue.role.help")
		if view.Refusal != nil {
			a.Why, a.Help = r.refusalWords(view.Refusal), ""
		}
		return a, nil
	}
	if err != nil {
		return action{}, err
	}
	if preview.Refusal != nil {
		return a, u.explain(r, run, preview, &a)
	}
	a.Enabled, a.Price = true, int64(preview.Plan.Price())
	a.Promise = r.promise(preview)
	return a, nil
}

// promise is what a Continue will do: "3 failed files × 2 credits = 6 (4 monthly +
// 2 purchased); 1 interrupted file is free", then what is left afterwards.
func (l language) promise(p app.Preview) []string {
	price, split := p.Plan.Price(), p.Plan.Attempt.Charge.Amount
	text := ""
	if p.Plan.Charged > 0 {
		text = l.T("continue.failed", p.Plan.Charged) + " × " + l.Credits(p.Plan.Attempt.Price) + " = " +
			l.N(int64(price)) + l.splitAfter(split)
	}
	if p.Plan.Free > 0 {
		if text != "" {
			text += "; "
		}
		text += l.T("continue.free", p.Plan.Free)
	}
	if price == 0 {
		return []string{text, l.T("continue.nothing_charged", int64(p.Balance.Available()))}
	}
	left := p.Balance.Available() - price
	return []string{text, l.T("continue.balance", int64(p.Balance.Available()), int64(left))}
}

// explain says why a Continue would be refused and what would help.
func (u *ui) explain(r *request, run core.Run, p app.Preview, a *action) error {
	e := p.Refusal
	a.Why = r.refusalWords(e)
	switch e.Code {
	case core.CodeInsufficientCredits:
		a.Why = r.T("continue.short", int64(e.Needed-e.Available))
		a.Promise = []string{r.T("continue.short.needs", int64(e.Needed), int64(e.Available))}
		next := r.Day(p.Balance.Period.End())
		if core.Authorize(r.actor(), core.ActionManageCredits, run.Tenant) == nil {
			a.Help, a.Link, a.Text = r.T("continue.short.admin"), addr("tenants", string(run.Tenant)), r.T("continue.short.link")
		} else {
			a.Help, a.Link, a.Text = r.T("continue.short.help", next), Prefix+"credits", r.T("continue.credits.link")
		}
	case core.CodeMaxRetryCountExceeded:
		a.Why = r.T("continue.maxed", len(e.Files))
		a.Help = r.T("continue.maxed.help", run.MaxRetryCount, core.MaxMaxRetryCount)
		if core.Authorize(r.actor(), core.ActionRaiseMaxRetries, run.Tenant) == nil {
			a.Help = r.T("continue.maxed.admin", run.MaxRetryCount, core.MaxMaxRetryCount)
		}
		names, err := u.fileNames(r, run.ID, e.Files[:min(len(e.Files), blockedShown)])
		if err != nil {
			return err
		}
		a.Blocked = names
		if more := len(e.Files) - len(names); more > 0 {
			a.More = r.T("continue.maxed.more", more)
		}
	default: // the sentence says it all
	}
	return nil
}

// refusalWords gives the refusal of a Continue as a sentence.
func (l language) refusalWords(err error) string {
	e, ok := errors.AsType[*core.Error](err)
	if !ok {
		return l.T("problem.internal.title")
	}
	if key := "continue." + string(e.Code); l.Has(key) {
		return l.T(key)
	}
	return e.Message
}

// continueRun is POST /ui/runs/{id}/continue: the button. It always redirects to the
// run's page, which shows the result.
func (u *ui) continueRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	form, err := r.form(w)
	if err != nil {
		return err
	}
	price, err := strconv.ParseInt(form.Get("price"), 10, 64)
	if err != nil || price < 0 {
		return core.InvalidField("price", "is not an amount of credits")
	}
	attempt, err := strconv.Atoi(form.Get("attempt"))
	if err != nil || attempt < 0 {
		return core.InvalidField("attempt", "is not the number of an attempt")
	}
	back := func(notice string) error {
		return r.redirect(w, withQuery(addr("runs", string(id)), "notice", notice))
	}
	// The Continue is refused if the run has another attempt by now, or a higher price
	// than the button showed.
	shown, most := core.AttemptNumber(attempt), core.Credits(price)
	_, err = u.svc.RetryFailed(r.Context(), r.actor(), id, app.RetryRequest{
		IdempotencyKey: core.Key(form.Get("key")), Attempt: &shown, MaxPrice: &most,
	})
	if err == nil {
		return back("continued")
	}
	refusal, fault := refusalOf(err)
	if fault {
		u.cfg.Log.ErrorContext(r.Context(), "a continue failed", "request_id", r.raw.id, "run", id, "error", err)
	}
	switch refusal.Code {
	case core.CodeRunAlreadyRunning:
		view, err := u.svc.Run(r.Context(), r.actor(), id)
		if err != nil {
			return err
		}
		if view.Run.Status.Closed() {
			return back("changed") // another request continued it, and that attempt has ended
		}
		return back("running")
	case core.CodePriceChanged, core.CodeEnqueueFailed, codeUnavailable, codeUnknown:
		return back(string(refusal.Code))
	case core.CodeInsufficientCredits, core.CodeTenantSuspended, core.CodeMaxRetryCountExceeded, core.CodeNothingToRetry, core.CodeNoErrorsToRetry:
		return back("refused")
	default:
		return err
	}
}

// cancelRun is POST /ui/runs/{id}/cancel.
func (u *ui) cancelRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	notice := "cancelled"
	if _, err := u.svc.Cancel(r.Context(), r.actor(), id); errors.Is(err, core.ErrRunNotRunning) {
		notice = "closed"
	} else if err != nil {
		return err
	}
	return r.redirect(w, withQuery(addr("runs", string(id)), "notice", notice))
}

// raiseRetries is POST /ui/runs/{id}/retries: a platform admin's.
func (u *ui) raiseRetries(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	form, err := r.form(w)
	if err != nil {
		return err
	}
	to, err := strconv.Atoi(form.Get("to"))
	if err != nil {
		return core.InvalidField("maxRetryCount", "must be a whole number")
	}
	notice := "raised"
	if _, err := u.svc.RaiseMaxRetryCount(r.Context(), r.actor(), id, to); errors.Is(err, core.ErrRunAlreadyRunning) {
		notice = "running"
	} else if err != nil {
		return err
	}
	return r.redirect(w, withQuery(addr("runs", string(id)), "notice", notice))
}
