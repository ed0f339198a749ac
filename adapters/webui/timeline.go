package webui

import (
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// attemptRow is one dispatch of a run: who requested it, when, and what it cost.
type attemptRow struct {
	Title    string
	By       string
	At       Moment
	Price    string // "3 files × 2 credits = 6 (4 monthly + 2 purchased)"
	Free     string
	Refunded string
	Tone     Tone
	URL      string // its lines on the receipt
	Version  string // of the instructions
	Fault    string // files that a fault of ours interrupted in it
}

// timeline lists a run's attempts, the latest first.
func (r *request) timeline(run core.Run, receipt core.Receipt) []attemptRow {
	var rows []attemptRow
	for i := len(receipt.Attempts) - 1; i >= 0; i-- {
		rows = append(rows, r.attemptRow(run, receipt.Attempts[i]))
	}
	return rows
}

func (r *request) attemptRow(run core.Run, part core.AttemptReceipt) attemptRow {
	a := part.Attempt
	row := attemptRow{
		Title: r.attemptTitle(a.Number), By: visible(a.RequestedBy.Subject), At: r.Time(a.RequestedAt), Tone: ToneNeutral,
		URL: withQuery(addr("runs", string(run.ID), "receipt"), "attempt", strconv.Itoa(int(a.Number))),
	}
	charged, free, interrupted := 0, 0, 0
	for _, l := range part.Lines {
		if l.Interrupted.Code != "" {
			interrupted++
		}
		if l.Kind == core.LineFree {
			free++
		} else {
			charged++
		}
	}
	if charged > 0 {
		row.Price = r.T("attempt.files", charged) + " × " + r.Credits(a.Price) + " = " + r.N(int64(a.Charge.Amount.Total())) +
			r.splitAfter(a.Charge.Amount)
	}
	if run.TemplateVersion > 0 {
		row.Version = r.T("attempt.version", run.TemplateVersion)
	}
	if interrupted > 0 {
		row.Fault = r.T("attempt.interrupted", interrupted)
	}
	if free > 0 {
		row.Free = r.T("attempt.free", free)
	}
	switch {
	case a.Compensated():
		row.Tone = ToneWarn
		if part.Refund != "" {
			row.Refunded = r.T("attempt.refunded", int64(a.Charge.Amount.Total())) + " · " + r.Time(a.CompensatedAt).Text
		} else {
			row.Refunded = r.T("attempt.undone") + " · " + r.Time(a.CompensatedAt).Text
		}
	case a.Number == run.Attempt:
		row.Tone = r.runBadge(run.Status).Tone
	}
	return row
}

func (l language) attemptTitle(n core.AttemptNumber) string {
	if n == 0 {
		return l.T("attempt.start")
	}
	return l.T("attempt.continue", int(n))
}

// receiptView is the receipt of a run: every attempt, and the files of one.
type receiptView struct {
	Run, Name string
	ID        string
	Total     string
	Split     string
	Attempts  []attemptRow
	Tabs      []Tab
	Lines     []receiptRow
	Raised    []raisedRow
	Refund    *refundForm
	Refunds   []refundRow
	Notice    *Notice
	Pager     Pager
}

type receiptRow struct {
	Number  string
	Name    string
	Kind    Badge
	Why     string
	Credits string
}

type raisedRow struct {
	Text string
	By   string
	At   Moment
}

// receiptPage is GET /ui/runs/{id}/receipt: for each file and attempt, why it was
// charged, was free or was refunded.
func (u *ui) receiptPage(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	view, err := u.svc.Run(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	receipt, err := u.svc.Receipt(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	template, err := u.svc.Template(r.Context(), r.actor(), view.Run.Tenant, view.Run.Template)
	if err != nil {
		return err
	}
	v := receiptView{
		Run: addr("runs", string(id)), ID: string(id), Name: visible(template.Name),
		Attempts: r.timeline(view.Run, receipt),
	}
	v.Total, v.Split = r.total(receipt.Total)
	if r.URL.Query().Get("notice") == "refunded" {
		v.Notice = &Notice{Tone: ToneGood, Text: r.T("notice.refunded")}
	}
	if n := len(receipt.Attempts); n > 0 {
		chosen := r.queryInt("attempt", n-1, 0, n-1)
		if err := u.receiptLines(r, id, receipt, chosen, &v); err != nil {
			return err
		}
		v.Refund, v.Refunds = r.refundOf(view.Run, receipt.Attempts[chosen]), r.refundRows(receipt.Attempts[chosen])
	}
	for _, a := range receipt.Amendments {
		v.Raised = append(v.Raised, raisedRow{
			Text: r.T("receipt.raised", a.MaxRetryCountFrom, a.MaxRetryCountTo), By: visible(a.By.Subject), At: r.Time(a.At),
		})
	}
	return u.render(w, r, http.StatusOK, "receipt.html", page{Title: r.T("receipt.title"), Nav: "runs", Tenant: view.Run.Tenant, Data: v})
}

// receiptLines fills in one attempt's files, a page of them.
func (u *ui) receiptLines(r *request, id core.RunID, receipt core.Receipt, chosen int, v *receiptView) error {
	base := addr("runs", string(id), "receipt")
	for i, part := range receipt.Attempts {
		v.Tabs = append(v.Tabs, Tab{
			Text: r.attemptTitle(part.Attempt.Number), URL: withQuery(base, "attempt", strconv.Itoa(i)),
			Count: r.N(int64(len(part.Lines))), Current: i == chosen,
		})
	}
	lines := receipt.Attempts[chosen].Lines
	from := r.queryInt("from", 0, 0, max(0, len(lines)-1))
	to := min(from+filesPerPage, len(lines))
	at := func(n int) string { return withQuery(base, "attempt", strconv.Itoa(chosen), "from", strconv.Itoa(n)) }
	first, previous, next := "", "", ""
	if from > 0 {
		first, previous = at(0), at(max(0, from-filesPerPage))
	}
	if to < len(lines) {
		next = at(to)
	}
	v.Pager = r.pager(r.T("files.range", from+1, to, len(lines)), first, previous, next)
	names := map[int]string{}
	if to > from {
		files, err := u.svc.RunFiles(r.Context(), r.actor(), id, ports.FileFilter{From: lines[from].Index, Limit: lines[to-1].Index - lines[from].Index + 1})
		if err != nil {
			return err
		}
		for _, f := range files {
			names[f.Index] = visible(f.Name)
		}
	}
	for _, l := range lines[from:to] {
		tone := map[core.LineKind]Tone{core.LineCharged: ToneNeutral, core.LineFree: ToneGood, core.LineRefunded: ToneInfo}[l.Kind]
		v.Lines = append(v.Lines, receiptRow{
			Number: r.N(int64(l.Index + 1)), Name: names[l.Index], Kind: Badge{Text: r.T("receipt." + string(l.Kind)), Tone: tone},
			Why: r.T("receipt.why." + string(l.Why)), Credits: r.N(int64(l.Credits)),
		})
	}
	return nil
}
