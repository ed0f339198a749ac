package webui

import (
	"fmt"
	"net/http"

	"github.com/redrive/redrive/core"
)

// runView is the page of one run.
type runView struct {
	URL, ID         string
	Name            string
	Deleted         bool // the template
	Badge           Badge
	Why             string // why it closed, if not by its files
	Bar             Bar
	Said            string // the progress in words, for screen readers
	Credits         string
	By              string
	At              Moment
	Closed          Moment
	Running         bool
	Action          action
	Cancel          *Confirm
	Raise           *raise
	Timeline        []attemptRow
	Total           string // what the run has cost in the end
	Split           string
	Receipt         string // address
	Files           filesView
	ZIP, CSV, JSONL string // addresses
	Notice          *Notice
}

// raise is a platform admin's form to allow more retries.
type raise struct {
	Action   string
	Now, Max int
	Options  []int
}

// runPage is GET /ui/runs/{id}. The script that follows a run requests the same page with
// X-Redrive-Live and gets only the parts that change while the run is running.
func (u *ui) runPage(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	view, err := u.svc.Run(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	run := view.Run
	running := run.Status == core.RunRunning
	base := addr("runs", string(id))
	v := runView{
		URL: base, ID: string(id), Badge: r.runBadge(run.Status), Why: r.reason(run),
		Bar: r.tallyBar(run.Tally, running), Running: running,
		Credits: r.Credits(run.CreditsConsumed), By: visible(run.CreatedBy.Subject),
		At: r.Time(run.CreatedAt), Closed: r.Time(run.ClosedAt),
		Receipt: base + "/receipt", CSV: base + "/files.csv", Notice: r.runNotice(),
	}
	done := run.Tally.Total() - run.Tally.Unfinished
	v.Said = r.T("run.progress", done, run.Tally.Total())
	if run.Tally.Completed > 0 {
		v.ZIP, v.JSONL = base+"/outputs.zip", base+"/outputs.jsonl"
	}
	template, err := u.svc.Template(r.Context(), r.actor(), run.Tenant, run.Template)
	if err != nil {
		return err
	}
	v.Name, v.Deleted = visible(template.Name), template.Deleted()
	if v.Files, err = u.filesView(r, run); err != nil {
		return err
	}
	if v.Action, err = u.continueAction(r, view); err != nil {
		return err
	}
	if running && core.Authorize(r.actor(), core.ActionCancel, run.Tenant) == nil {
		v.Cancel = &Confirm{
			Open: r.T("cancel.open"), Text: r.T("cancel.text"), Do: r.T("cancel.do"), Action: base + "/cancel", Tone: ToneBad,
		}
	}
	if !running && run.MaxRetryCount < core.MaxMaxRetryCount &&
		core.Authorize(r.actor(), core.ActionRaiseMaxRetries, run.Tenant) == nil {
		v.Raise = &raise{Action: base + "/retries", Now: run.MaxRetryCount, Max: core.MaxMaxRetryCount}
		for n := run.MaxRetryCount + 1; n <= core.MaxMaxRetryCount; n++ {
			v.Raise.Options = append(v.Raise.Options, n)
		}
	}
	if r.Header.Get("X-Redrive-Live") != "live" {
		receipt, err := u.svc.Receipt(r.Context(), r.actor(), id)
		if err != nil {
			return err
		}
		v.Total, v.Split = r.total(receipt.Total)
		v.Timeline = r.timeline(run, receipt)
	}
	p := page{
		Title: v.Name, Nav: "runs", Tenant: run.Tenant, Data: v,
		Live: base + "/events", State: fmt.Sprintf("%s/%d", run.Status, run.Attempt),
	}
	if running {
		p.Poll = 2
	}
	return u.render(w, r, http.StatusOK, "run.html", p)
}

// total gives an amount, and separately its split.
func (l language) total(s core.Split) (total, split string) {
	if !s.IsZero() {
		split = l.Split(s)
	}
	return l.Credits(s.Total()), split
}

// splitAfter adds a split in brackets, unless there is nothing to split.
func (l language) splitAfter(s core.Split) string {
	if s.IsZero() {
		return ""
	}
	return " (" + l.Split(s) + ")"
}

// runNotice is the message of the previous action. The address has only its name, so a
// link from elsewhere cannot put text into the page.
func (r *request) runNotice() *Notice {
	name := r.URL.Query().Get("notice")
	tone, ok := map[string]Tone{
		"continued": ToneGood, "started": ToneGood, "cancelled": ToneGood, "raised": ToneGood,
		"running": ToneInfo, "changed": ToneWarn, "price_changed": ToneWarn, "refused": ToneWarn, "closed": ToneInfo,
		"enqueue_failed": ToneBad, "unavailable": ToneBad, "outcome_unknown": ToneBad,
	}[name]
	if !ok {
		return nil
	}
	n := &Notice{Tone: tone, Text: r.T("notice." + name)}
	if r.Has("notice." + name + ".more") {
		n.More = r.T("notice." + name + ".more")
	}
	return n
}
