package httpapi

import (
	"encoding/csv"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
)

func (a *api) statementRoutes() []route {
	return []route{
		get("/tenants/:id/statements/:period", onPath(core.ActionRead), a.getStatement),
	}
}

// getStatement is GET /tenants/{id}/statements/{period}: a month of a tenant, as JSON, or as
// CSV with ?format=csv.
func (a *api) getStatement(w http.ResponseWriter, r *request) error {
	tenant, err := r.pathTenant()
	if err != nil {
		return err
	}
	period, err := core.ParsePeriod(r.period)
	if err != nil {
		return err
	}
	format, err := r.query("format")
	if err != nil {
		return err
	}
	if format != "" && format != "json" && format != "csv" {
		return core.InvalidField("format", "must be json or csv")
	}
	s, err := a.svc.Statement(r.Context(), r.actor, tenant, period)
	if err != nil {
		return err
	}
	if format == "csv" {
		return writeStatementCSV(w, tenant, s)
	}
	return writeJSON(w, http.StatusOK, toStatement(tenant, s))
}

type statementJSON struct {
	Tenant  string              `json:"tenant"`
	Period  string              `json:"period"`
	Over    bool                `json:"over"` // the month has ended
	Opening splitJSON           `json:"opening"`
	Entries []statementLineJSON `json:"entries"`
	Lapsed  int64               `json:"lapsed"` // allowance that was unused at the end
	Closing splitJSON           `json:"closing"`
}

type statementLineJSON struct {
	Kind   string    `json:"kind"`
	Count  int       `json:"count"`
	Amount splitJSON `json:"amount"`
}

func toStatement(tenant core.TenantID, s core.Statement) statementJSON {
	answer := statementJSON{
		Tenant: string(tenant), Period: s.Period.String(), Over: s.Over, Opening: toSplit(s.Opening), Lapsed: int64(s.Lapsed()), Closing: toSplit(s.Closing),
		Entries: make([]statementLineJSON, len(s.Kinds)),
	}
	for i, k := range s.Kinds {
		answer.Entries[i] = statementLineJSON{Kind: string(k.Kind), Count: k.Entries, Amount: toSplit(k.Amount)}
	}
	return answer
}

// writeStatementCSV writes a line for each part of a statement. Amounts have signs: a column
// adds up from the opening to the closing balance. No cell is of a caller's making.
func writeStatementCSV(w http.ResponseWriter, tenant core.TenantID, s core.Statement) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="redrive-statement-`+string(tenant)+`-`+s.Period.String()+`.csv"`)
	table := csv.NewWriter(w)
	line := func(item string, count string, sign core.Credits, amount core.Split) {
		_ = table.Write([]string{item, count, strconv.FormatInt(int64(sign*amount.Monthly), 10), strconv.FormatInt(int64(sign*amount.Purchased), 10)})
	}
	_ = table.Write([]string{"item", "entries", "monthly", "purchased"})
	line("opening", "", 1, s.Opening)
	for _, k := range s.Kinds {
		sign := core.Credits(1)
		if k.Kind == core.EntryCharge {
			sign = -1
		}
		line(string(k.Kind), strconv.Itoa(k.Entries), sign, k.Amount)
	}
	line("lapsed", "", -1, core.Split{Monthly: s.Lapsed()})
	line("closing", "", 1, s.Closing)
	table.Flush()
	return table.Error() // of any line
}
