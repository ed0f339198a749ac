package webui

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const entriesPerPage = 100

// creditsView is a tenant's balance and its ledger.
type creditsView struct {
	usageView
	Total, Monthly, Purchased string
	Now                       string // the present month
	Kinds                     []Tab
	Ends                      string // when the month ends
	Lapses                    string // how many credits lapse then
	Allowance                 string // the allowance of the next month
	Rows                      []entryRow
	Pager                     Pager
	CSV                       string
	Empty                     Empty
	Grant                     string // address where a platform admin adds credits; empty for others
}

// entryRow is one line of the ledger.
type entryRow struct {
	Seq       string
	At        Moment
	Kind      Badge
	What      string
	URL       string // the run
	Monthly   string
	Purchased string
	By        string
}

// entryKinds are the kinds that the ledger can be filtered by.
var entryKinds = []core.EntryKind{core.EntryCharge, core.EntryRefund, core.EntryPurchase, core.EntryAllowance}

func entriesOf(p core.Period, kind core.EntryKind, before int64, limit int) ports.EntryFilter {
	f := ports.EntryFilter{Period: p, Before: before, Limit: limit}
	if kind != "" {
		f.Kinds = []core.EntryKind{kind}
	}
	return f
}

// creditsPage is GET /ui/credits.
func (u *ui) creditsPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	owner, err := u.svc.Tenant(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	balance, err := u.svc.Balance(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	p := r.period()
	kind := core.EntryKind(r.URL.Query().Get("kind"))
	if !slices.Contains(entryKinds, kind) {
		kind = ""
	}
	before := int64(r.queryInt("before", 0, 0, 1<<62))
	found, err := u.svc.FindEntries(r.Context(), r.actor(), tenant, entriesOf(p, kind, before, entriesPerPage))
	if err != nil {
		return err
	}
	base := withQuery(r.of(tenant, Prefix+"credits"), "period", r.URL.Query().Get("period"))
	v := creditsView{
		Total: r.N(int64(balance.Available())), Monthly: r.N(int64(balance.Monthly)), Purchased: r.N(int64(balance.Purchased)),
		Now: r.Month(balance.Period), Ends: r.Day(balance.Period.End()), CSV: r.of(tenant, Prefix+"credits/ledger.csv"),
		Lapses: r.T("credits.lapses.none"), Empty: Empty{Icon: "coins", Title: r.T("ledger.empty.title"), Text: r.T("ledger.empty.text")},
	}
	if balance.Monthly > 0 {
		v.Lapses = r.T("credits.lapses", int64(balance.Monthly))
	}
	if owner.MonthlyAllowance > 0 {
		v.Allowance = r.T("credits.allowance", int64(owner.MonthlyAllowance))
	}
	if core.Authorize(r.actor(), core.ActionManageCredits, tenant) == nil {
		v.Grant = addr("tenants", string(tenant))
	}
	if v.usageView, err = u.usageView(r, tenant, p); err != nil {
		return err
	}
	v.Kinds = append(v.Kinds, Tab{Text: r.T("runs.all"), URL: base + "#ledger", Current: kind == ""})
	for _, k := range entryKinds {
		v.Kinds = append(v.Kinds, Tab{Text: r.T("entry." + string(k)), URL: withQuery(base, "kind", string(k)) + "#ledger", Current: k == kind})
	}
	next, first := "", ""
	list := withQuery(base, "kind", string(kind))
	if found.Next > 0 {
		next = withQuery(list, "before", strconv.FormatInt(found.Next, 10)) + "#ledger"
	}
	if before > 0 {
		first = list + "#ledger"
	}
	v.Pager = r.pager(r.T("ledger.shown", len(found.Entries)), first, "", next)
	for _, e := range found.Entries {
		v.Rows = append(v.Rows, r.entryRow(e))
	}
	return u.render(w, r, http.StatusOK, "credits.html", page{Title: r.T("credits.title"), Nav: "credits", Tenant: tenant, Data: v})
}

func (r *request) entryRow(e core.Entry) entryRow {
	sign := "−"
	tone := ToneNeutral
	if e.Credit() {
		sign, tone = "+", ToneGood
	}
	amount := func(c core.Credits) string {
		if c == 0 {
			return ""
		}
		return sign + r.N(int64(c))
	}
	row := entryRow{
		Seq: r.N(e.Seq), At: r.Time(e.At), Kind: Badge{Text: r.T("entry." + string(e.Kind)), Tone: tone},
		Monthly: amount(e.Amount.Monthly), Purchased: amount(e.Amount.Purchased), By: visible(e.Actor.Subject),
	}
	switch e.Kind {
	case core.EntryCharge, core.EntryRefund:
		row.URL, row.What = addr("runs", string(e.Run), "receipt"), r.attemptTitle(e.Attempt)
		row.URL = withQuery(row.URL, "attempt", strconv.Itoa(int(e.Attempt)))
		if e.Reason != "" {
			row.What += " · " + visible(e.Reason)
		}
	case core.EntryAllowance:
		row.What = r.Month(e.Period)
	case core.EntryPurchase:
	}
	return row
}

// ledgerCSV is GET /ui/credits/ledger.csv: every entry, in order, page by page.
func (u *ui) ledgerCSV(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	leave, err := u.svc.Download(r.actor(), tenant)
	if err != nil {
		return err
	}
	defer leave()
	entries, err := u.svc.Entries(r.Context(), r.actor(), tenant, 0, entriesPerPage)
	if err != nil {
		return err
	}
	attach(w, "text/csv; charset=utf-8", "redrive-ledger-"+string(tenant)+".csv")
	table := csv.NewWriter(w)
	err = table.Write([]string{"seq", "at", "kind", "period", "monthly", "purchased", "run", "attempt", "actor", "key"})
	if err != nil {
		return err
	}
	for len(entries) > 0 {
		for _, e := range entries {
			sign := int64(1)
			if !e.Credit() {
				sign = -1
			}
			attempt := ""
			if e.Run != "" {
				attempt = strconv.Itoa(int(e.Attempt))
			}
			err := table.Write([]string{
				strconv.FormatInt(e.Seq, 10), e.At.UTC().Format("2006-01-02T15:04:05Z"), string(e.Kind), e.Period.String(),
				strconv.FormatInt(sign*int64(e.Amount.Monthly), 10), strconv.FormatInt(sign*int64(e.Amount.Purchased), 10),
				string(e.Run), attempt, core.SpreadsheetCell(e.Actor.Subject), core.SpreadsheetCell(string(e.Key)),
			})
			if err != nil {
				return err
			}
		}
		if entries, err = u.svc.Entries(r.Context(), r.actor(), tenant, entries[len(entries)-1].Seq, entriesPerPage); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}
