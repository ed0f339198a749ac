package webui

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// suspension is what the page of a tenant shows of it, for platform admins.
type suspension struct {
	Text    string // why, and since when; empty unless it is suspended
	Suspend string // addresses of the forms; one of them is empty
	Reopen  string
	Reason  []Field
}

func (r *request) suspensionOf(t core.Tenant, typed map[string]string, messages map[string]string) suspension {
	if t.Suspended() {
		return suspension{
			Text:   r.T("tenant.suspended", visible(t.SuspendedReason), r.Time(t.SuspendedAt).Text),
			Reopen: addr("tenants", string(t.ID), "reopen"),
		}
	}
	return suspension{Suspend: addr("tenants", string(t.ID), "suspend"), Reason: []Field{
		{Name: "reason", Label: r.T("tenant.reason"), Hint: r.T("tenant.reason.hint"), Value: typed["reason"], Error: messages["reason"], Required: true},
	}}
}

// changeFields are the form that gives a tenant another name or allowance.
func (r *request) changeFields(t core.Tenant, typed map[string]string, messages map[string]string) []Field {
	value := func(name, now string) string {
		if v, ok := typed[name]; ok {
			return v
		}
		return now
	}
	return []Field{
		{Name: "name", Label: r.T("tenant.name"), Value: value("name", t.Name), Error: messages["name"], Required: true},
		{
			Name: "allowance", Label: r.T("tenant.allowance"), Hint: r.T("tenant.change.hint"), Type: "number", Min: "0",
			Value: value("allowance", strconv.FormatInt(int64(t.MonthlyAllowance), 10)), Error: messages["monthlyAllowance"], Required: true,
		},
	}
}

// suspendTenant is POST /ui/tenants/{id}/suspend.
func (u *ui) suspendTenant(w http.ResponseWriter, r *request) error {
	return u.administer(w, r, "suspended", []string{"reason"}, func(id core.TenantID, typed map[string]string) error {
		_, err := u.svc.SuspendTenant(r.Context(), r.actor(), id, typed["reason"])
		return err
	})
}

// reopenTenant is POST /ui/tenants/{id}/reopen.
func (u *ui) reopenTenant(w http.ResponseWriter, r *request) error {
	return u.administer(w, r, "reopened", nil, func(id core.TenantID, _ map[string]string) error {
		_, err := u.svc.ReopenTenant(r.Context(), r.actor(), id)
		return err
	})
}

// changeTenant is POST /ui/tenants/{id}.
func (u *ui) changeTenant(w http.ResponseWriter, r *request) error {
	return u.administer(w, r, "tenant_changed", []string{"name", "allowance"}, func(id core.TenantID, typed map[string]string) error {
		allowance, err := wholeCredits("monthlyAllowance", typed["allowance"])
		if err != nil {
			return err
		}
		name := typed["name"]
		_, err = u.svc.ChangeTenant(r.Context(), r.actor(), id, core.TenantChange{Name: &name, MonthlyAllowance: &allowance})
		return err
	})
}

// administer does something to a tenant with what its form has in these fields. What was
// typed is shown again if it is refused for it.
func (u *ui) administer(w http.ResponseWriter, r *request, notice string, fields []string, do func(core.TenantID, map[string]string) error) error {
	f, err := r.form(w)
	if err != nil {
		return err
	}
	id := core.TenantID(r.PathValue("id"))
	if !core.ValidID(id) {
		return core.ErrTenantNotFound
	}
	typed := map[string]string{}
	for _, name := range fields {
		typed[name] = strings.TrimSpace(f.Get(name))
	}
	if err = do(id, typed); err == nil {
		return r.redirect(w, withQuery(addr("tenants", string(id)), "notice", notice))
	}
	if refusal, fault := refusalOf(err); !fault && refusal.Code == core.CodeInvalidRequest {
		return u.showTenant(w, r, http.StatusUnprocessableEntity, typed, refusal)
	}
	return err
}

// refundForm is the form with which a platform admin refunds an attempt's charge.
type refundForm struct {
	URL, Key, Charge string
	Fields           []Field
}

// refundOf gives the form for an attempt of a closed run; nil if there is nothing to refund,
// or for anybody else.
func (r *request) refundOf(run core.Run, part core.AttemptReceipt) *refundForm {
	if core.Authorize(r.actor(), core.ActionManageCredits, run.Tenant) != nil || !run.Status.Closed() || part.Attempt.Compensated() || part.Attempt.Charge.IsZero() {
		return nil
	}
	left := part.Attempt.Charge.Amount.Total()
	for _, e := range part.ByHand {
		left -= e.Amount.Total()
	}
	if left <= 0 {
		return nil
	}
	return &refundForm{
		URL: addr("runs", string(run.ID), "refund"), Key: rand.Text(), Charge: string(part.Attempt.Charge.Key), Fields: []Field{
			{Name: "amount", Label: r.T("refund.amount"), Hint: r.T("refund.amount.hint", int64(left)), Type: "number", Min: "1"},
			{Name: "reason", Label: r.T("tenant.reason"), Hint: r.T("refund.reason.hint"), Required: true},
		},
	}
}

// refundRow is a refund by hand on a receipt.
type refundRow struct {
	Text, Reason, By string
	At               Moment
}

func (r *request) refundRows(part core.AttemptReceipt) (rows []refundRow) {
	for _, e := range part.ByHand {
		rows = append(rows, refundRow{
			Text: r.T("refund.done", int64(e.Amount.Total())) + r.splitAfter(e.Amount), Reason: visible(e.Reason), By: visible(e.Actor.Subject), At: r.Time(e.At),
		})
	}
	return rows
}

// refundCharge is POST /ui/runs/{id}/refund: once for each form that was shown, even if it is
// sent again.
func (u *ui) refundCharge(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	f, err := r.form(w)
	if err != nil {
		return err
	}
	view, err := u.svc.Run(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	req := app.RefundRequest{
		Tenant: view.Run.Tenant, Charge: core.Key(f.Get("charge")), Reason: strings.TrimSpace(f.Get("reason")), IdempotencyKey: core.Key(f.Get("key")),
	}
	if text := strings.TrimSpace(f.Get("amount")); text != "" {
		amount, err := wholeCredits("amount", text)
		if err != nil {
			return err
		}
		req.Amount = &amount
	}
	entry, err := u.svc.RefundCharge(r.Context(), r.actor(), req)
	if err != nil {
		return err
	}
	return r.redirect(w, withQuery(addr("runs", string(entry.Run), "receipt"), "attempt", strconv.Itoa(int(entry.Attempt)), "notice", "refunded"))
}

const auditPerPage = 100

// auditView is what administrators did to a tenant, or to all of them.
type auditView struct {
	Rows  []auditRow
	All   bool // of every tenant
	Pager Pager
	Empty Empty
	// Missing says what is missing from the list; nil: nothing is.
	Missing *Notice
}

type auditRow struct {
	At                              Moment
	What, Target, Facts, By, Tenant string
}

// auditPage is GET /ui/audit.
func (u *ui) auditPage(w http.ResponseWriter, r *request) error {
	req := app.AuditRequest{Page: ports.AuditPage{Limit: auditPerPage, Before: auditPlace(r.URL.Query().Get("before"))}}
	if r.URL.Query().Get("tenant") != "" || r.actor().Role != core.RolePlatformAdmin {
		var err error
		if req.Tenant, err = r.tenant(); err != nil {
			return err
		}
	}
	found, err := u.svc.AuditLog(r.Context(), r.actor(), req)
	missing, more, err := u.missingOnPage(r, err)
	if err != nil {
		return err
	}
	v := auditView{Missing: missing, All: req.Tenant == "", Empty: Empty{Icon: "template", Title: r.T("audit.empty.title"), Text: r.T("audit.empty.text")}}
	for _, e := range found.Events {
		row := auditRow{At: r.Time(e.At), What: string(e.Action), Target: visible(e.Target), By: visible(e.Actor.Subject), Tenant: string(e.Tenant)}
		if key := "audit." + string(e.Action); r.Has(key) {
			row.What = r.T(key)
		}
		var facts []string
		for name, value := range e.Facts {
			facts = append(facts, name+": "+visible(value))
		}
		slices.Sort(facts)
		row.Facts = strings.Join(facts, ", ")
		v.Rows = append(v.Rows, row)
	}
	base, next, first := r.of(req.Tenant, Prefix+"audit"), "", ""
	if found.Next != (ports.AuditCursor{}) {
		place := strconv.FormatInt(found.Next.At.UnixNano(), 10) + "/" + string(found.Next.Tenant) + "/" + string(found.Next.ID)
		next = withQuery(base, append([]string{"before", place}, more...)...)
	}
	if req.Page.Before != (ports.AuditCursor{}) {
		first = base
	}
	v.Pager = r.pager(r.T("audit.shown", len(v.Rows)), first, "", next)
	return u.render(w, r, http.StatusOK, "audit.html", page{Title: r.T("audit.title"), Nav: "audit", Tenant: req.Tenant, Data: v})
}

// auditPlace reads where a page begins; the latest event if it is none.
func auditPlace(text string) ports.AuditCursor {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || !core.ValidID(parts[1]) || !core.ValidID(parts[2]) {
		return ports.AuditCursor{}
	}
	n, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return ports.AuditCursor{}
	}
	return ports.AuditCursor{At: time.Unix(0, n).UTC(), Tenant: core.TenantID(parts[1]), ID: core.AuditID(parts[2])}
}

// statementLine is a part of a month's statement.
type statementLine struct{ Name, Count, Monthly, Purchased string }

// statementLines add up from the opening balance to the closing one.
func (r *request) statementLines(s core.Statement) []statementLine {
	signed := func(sign string, c core.Credits) string {
		if c == 0 {
			return "0"
		}
		return sign + r.N(int64(c))
	}
	lines := []statementLine{{r.T("statement.opening"), "", r.N(int64(s.Opening.Monthly)), r.N(int64(s.Opening.Purchased))}}
	for _, k := range s.Kinds {
		sign := "+"
		if k.Kind == core.EntryCharge {
			sign = "−"
		}
		lines = append(lines, statementLine{r.T("entry." + string(k.Kind)), r.N(int64(k.Entries)), signed(sign, k.Amount.Monthly), signed(sign, k.Amount.Purchased)})
	}
	return append(lines,
		statementLine{r.T("usage.lapsed"), "", signed("−", s.Lapsed()), "0"},
		statementLine{r.T("statement.closing"), "", r.N(int64(s.Closing.Monthly)), r.N(int64(s.Closing.Purchased))},
	)
}
