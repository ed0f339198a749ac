package webui

import (
	"encoding/csv"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
)

const entriesPerPage = 100

// creditsView is what a tenant has, and how it came to that.
type creditsView struct {
	Total, Monthly, Purchased string
	Month                     string
	Ends                      string // when the month ends
	Lapses                    string // what then is lost
	Allowance                 string // what the next month begins with
	Rows                      []entryRow
	Pager                     Pager
	CSV                       string
	Empty                     Empty
	Grant                     string // where a platform admin adds credits; empty for others
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
	after := int64(r.queryInt("after", 0, 0, 1<<62))
	entries, err := u.svc.Entries(r.Context(), r.actor(), tenant, after, entriesPerPage+1)
	if err != nil {
		return err
	}
	base := r.of(tenant, Prefix+"credits")
	v := creditsView{
		Total: r.N(int64(balance.Available())), Monthly: r.N(int64(balance.Monthly)), Purchased: r.N(int64(balance.Purchased)),
		Month: r.Month(balance.Period), Ends: r.Day(balance.Period.End()), CSV: r.of(tenant, Prefix+"credits/ledger.csv"),
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
	next, first := "", ""
	if len(entries) > entriesPerPage {
		entries = entries[:entriesPerPage]
		next = withQuery(base, "after", strconv.FormatInt(entries[entriesPerPage-1].Seq, 10))
	}
	if after > 0 {
		first = base
	}
	v.Pager = r.pager(r.T("ledger.shown", len(entries)), first, "", next)
	for _, e := range entries {
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
				string(e.Run), attempt, cell(e.Actor.Subject), cell(string(e.Key)),
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
