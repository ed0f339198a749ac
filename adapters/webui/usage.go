package webui

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
)

// usageView is how the credits of one month were used.
type usageView struct {
	Month     string
	Facts     []fact
	Lines     []statementLine // of the statement
	Templates []templateUsage
	Chart     *chart
	Previous  string // addresses of the months before and after
	Next      string
	Statement string
}

type fact struct{ Name, Value string }

type templateUsage struct {
	Name, URL, Charges, Spent, Split string
	Bar                              Bar
}

// chart is the burn-down of a month: what was left of the allowance at the end of each
// day as a line, and what each day spent as bars, in a space of 1000 by 100.
type chart struct {
	Label       string // the chart in words
	Most        string // the highest value
	First, Last string // the days at its ends
	Line, Area  string // points
	Bars        []chartBar
}

type chartBar struct{ X, Y, Width, Height float64 }

// period is the month that the query names, or the present one.
func (r *request) period() core.Period {
	now := core.PeriodOf(r.ui.now())
	p, err := core.ParsePeriod(r.URL.Query().Get("period"))
	if err != nil || now.Before(p) {
		return now
	}
	return p
}

func (u *ui) usageView(r *request, tenant core.TenantID, p core.Period) (usageView, error) {
	statement, err := u.svc.Statement(r.Context(), r.actor(), tenant, p)
	if err != nil {
		return usageView{}, err
	}
	usage := statement.Usage
	names, err := u.templateNames(r, tenant)
	if err != nil {
		return usageView{}, err
	}
	v := usageView{Month: r.Month(p), Chart: r.chart(usage, u.now()), Lines: r.statementLines(statement)}
	base := r.of(tenant, Prefix+"credits")
	v.Statement = withQuery(r.of(tenant, Prefix+"credits/statement"), "period", p.String())
	v.Previous = withQuery(base, "period", core.PeriodOf(p.Start().AddDate(0, 0, -1)).String())
	if p.Before(core.PeriodOf(u.now())) {
		v.Next = withQuery(base, "period", p.Next().String())
	}
	spent := usage.Spent()
	v.Facts = []fact{
		{r.T("usage.granted"), r.N(int64(usage.Granted))},
		{r.T("usage.bought"), r.N(int64(usage.Bought))},
		{r.T("usage.charged"), r.N(int64(usage.Charged.Total())) + r.splitAfter(usage.Charged)},
		{r.T("usage.refunded"), r.N(int64(usage.Refunded.Total())) + r.splitAfter(usage.Refunded)},
		{r.T("usage.spent"), r.N(int64(spent.Total())) + r.splitAfter(spent)},
	}
	if usage.Over {
		v.Facts = append(v.Facts, fact{r.T("usage.lapsed"), r.N(int64(usage.Lapsed()))})
	} else {
		v.Facts = append(v.Facts, fact{r.T("usage.left"), r.N(int64(usage.Left))})
	}
	for _, t := range usage.Templates {
		row := templateUsage{
			Name: nameOf(names, t.Template), URL: r.of(tenant, addr("templates", string(t.Template))), Charges: r.N(int64(t.Charges)),
			Spent: r.N(int64(t.Spent().Total())),
		}
		if t.Template == "" {
			row.Name, row.URL = r.T("usage.gone"), ""
		}
		if !t.Spent().IsZero() {
			row.Split = r.Split(t.Spent())
		}
		total := float64(spent.Total())
		if total > 0 {
			row.Bar = Bar{Label: row.Name + ": " + row.Spent, Segments: []Segment{{Width: 100 * float64(t.Spent().Total()) / total, Tone: ToneInfo}}}
		}
		v.Templates = append(v.Templates, row)
	}
	return v, nil
}

// chart draws the days of a month up to now; nil if nothing happened in it.
func (r *request) chart(usage core.Usage, now time.Time) *chart {
	const wide, high = 1000.0, 100.0
	most := core.Credits(0)
	last := 0
	for i, d := range usage.Days {
		if d.Day.After(now) {
			break
		}
		last = i
		most = max(most, d.Left, d.Charged.Total())
	}
	if most == 0 {
		return nil
	}
	step := wide / float64(len(usage.Days))
	y := func(c core.Credits) float64 { return high - high*float64(c)/float64(most) }
	c := &chart{Most: r.N(int64(most)), First: r.dayOf(usage.Days[0].Day), Last: r.dayOf(usage.Days[len(usage.Days)-1].Day)}
	var line strings.Builder
	for i, d := range usage.Days[:last+1] {
		x := step * float64(i)
		fmt.Fprintf(&line, "%.1f,%.2f %.1f,%.2f ", x, y(d.Left), x+step, y(d.Left))
		if n := d.Charged.Total(); n > 0 {
			c.Bars = append(c.Bars, chartBar{X: x + step*0.2, Y: y(n), Width: step * 0.6, Height: high - y(n)})
		}
	}
	c.Line = strings.TrimSpace(line.String())
	c.Area = fmt.Sprintf("0,%g %s %.1f,%g", high, c.Line, step*float64(last+1), high)
	c.Label = r.T("usage.chart", r.Month(usage.Period), int64(usage.Left), int64(usage.Spent().Total()))
	return c
}

// dayOf writes a day of a period. Days are in UTC.
func (l language) dayOf(t time.Time) string {
	return l.T("time.dayofmonth", fmt.Sprint(t.Day()), l.T(fmt.Sprintf("month.short.%d", t.Month())))
}

// statementView is a month to print.
type statementView struct {
	usageView
	Tenant, ID string
	Made       Moment
	Rows       []entryRow
}

// maxStatementEntries bounds the entries of a statement; the CSV has them all.
const maxStatementEntries = 1000

// statementPage is GET /ui/credits/statement: the statement of a month, for printing.
func (u *ui) statementPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	owner, err := u.svc.Tenant(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	p := r.period()
	v := statementView{Tenant: visible(owner.Name), ID: string(tenant), Made: r.Time(u.now())}
	if v.usageView, err = u.usageView(r, tenant, p); err != nil {
		return err
	}
	entries, err := u.svc.FindEntries(r.Context(), r.actor(), tenant, entriesOf(p, "", 0, maxStatementEntries))
	if err != nil {
		return err
	}
	for i := len(entries.Entries) - 1; i >= 0; i-- {
		v.Rows = append(v.Rows, r.entryRow(entries.Entries[i]))
	}
	return u.render(w, r, http.StatusOK, "statement.html", page{Title: r.T("statement.title"), Nav: "credits", Tenant: tenant, Data: v})
}
