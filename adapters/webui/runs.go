package webui

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// runsPerPage is how many runs a page lists.
const runsPerPage = 50

// runsView is the list of runs.
type runsView struct {
	runFilter
	URL       string
	Tenant    string // that the query names
	Templates []option
	Rows      []runRow
	Filter    []Tab
	Rest      string // address where a search goes on that found nothing so far
	Filtered  bool
	Pager     Pager
	Empty     Empty
	NewURL    string
	// Of bulk continues: where the selected runs go, those of the filter, and the list.
	BulkURL, BulkAll, Bulks string
	Selectable              bool // some of the runs can be continued together
}

// runRow is one run of the list.
type runRow struct {
	URL, Name, ID string
	Badge         Badge
	Bar           Bar
	Files         string
	Credits       string
	By            string
	At            Moment
	Selectable    bool
}

// runsPage is GET /ui/runs: newest first.
func (u *ui) runsPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	f := r.runFilter()
	found, err := u.svc.FindRuns(r.Context(), r.actor(), tenant, f.filter())
	if err != nil {
		return err
	}
	views := found.Runs
	names, err := u.templateNames(r, tenant)
	if err != nil {
		return err
	}
	base := r.of(tenant, Prefix+"runs")
	v := runsView{runFilter: f, URL: base, Tenant: r.URL.Query().Get("tenant"), NewURL: r.of(tenant, Prefix+"runs/new")}
	v.Templates = r.templateOptions(names, f.Template)
	next, first := "", ""
	if found.Next != (ports.RunCursor{}) {
		next = withQuery(f.in(base), "before", place(found.Next))
	}
	if f.before != (ports.RunCursor{}) {
		first = f.in(base)
	}
	text := r.T("runs.shown", len(views))
	if f.searches() && next != "" && len(views) < runsPerPage {
		text = r.T("runs.searched", len(views))
	}
	v.Pager = r.pager(text, first, "", next)
	v.Filter = append(v.Filter, Tab{Text: r.T("runs.all"), URL: withQuery(f.in(base), "status", ""), Current: f.Status == ""})
	for _, s := range []core.RunStatus{core.RunRunning, core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted, core.RunCompleted} {
		v.Filter = append(v.Filter, Tab{Text: r.T("run.status." + string(s)), URL: withQuery(f.in(base), "status", string(s)), Current: string(s) == f.Status})
	}
	if core.Authorize(r.actor(), core.ActionContinue, tenant) == nil {
		v.BulkURL, v.Bulks = r.of(tenant, Prefix+"bulk/new"), r.of(tenant, Prefix+"bulk")
		if canContinue(core.RunStatus(f.Status)) && f.By == "" && f.File == "" {
			v.BulkAll = withQuery(v.BulkURL, "status", f.Status, "template", f.Template, "from", f.From, "to", f.To)
		}
	}
	v.Filtered = f.Status != "" || f.searches() || f.dated() || first != ""
	p := page{Title: r.T("runs.title"), Nav: "runs", Tenant: tenant, Live: r.of(tenant, Prefix+"events")}
	for _, view := range views {
		row := r.runRow(view.Run, names)
		row.Selectable = v.BulkURL != "" && canContinue(view.Run.Status)
		v.Selectable = v.Selectable || row.Selectable
		v.Rows = append(v.Rows, row)
		if view.Run.Status == core.RunRunning {
			p.Poll = 5
		}
	}
	if v.Filtered && next != "" {
		// No run was found within the search's bound, and there are more to search.
		v.Rest = next
	}
	v.Empty = Empty{Icon: "runs", Title: r.T("runs.empty.title"), Text: r.T("runs.empty.text"), URL: v.NewURL, Link: r.T("runs.empty.link")}
	if v.Filtered {
		v.Empty = Empty{Icon: "runs", Title: r.T("runs.none.title"), Text: r.T("runs.none.text"), URL: base, Link: r.T("runs.none.link")}
	}
	p.Data = v
	return u.render(w, r, http.StatusOK, "runs.html", p)
}

// canContinue reports whether runs of this status may be continued together.
func canContinue(s core.RunStatus) bool {
	return s == core.RunCompletedWithErrors || s == core.RunFailed || s == core.RunInterrupted
}

func (r *request) runRow(run core.Run, names map[core.TemplateID]string) runRow {
	return runRow{
		URL: addr("runs", string(run.ID)), Name: nameOf(names, run.Template), ID: string(run.ID),
		Badge: r.runBadge(run.Status), Bar: r.tallyBar(run.Tally, run.Status == core.RunRunning),
		Files: r.tallyWords(run.Tally, run.Status == core.RunRunning), Credits: r.N(int64(run.CreditsConsumed)),
		By: visible(run.CreatedBy.Subject), At: r.Time(run.CreatedAt),
	}
}

// templateNames are the names of a tenant's templates, the deleted ones too.
func (u *ui) templateNames(r *request, tenant core.TenantID) (map[core.TemplateID]string, error) {
	list, err := u.svc.Templates(r.Context(), r.actor(), tenant)
	if err != nil {
		return nil, err
	}
	names := make(map[core.TemplateID]string, len(list))
	for _, t := range list {
		names[t.ID] = visible(t.Name)
	}
	return names, nil
}

func nameOf(names map[core.TemplateID]string, id core.TemplateID) string {
	if name := names[id]; name != "" {
		return name
	}
	return string(id)
}

// place is where a page of runs ended, for the address of the next.
func place(c ports.RunCursor) string {
	return strconv.FormatInt(c.CreatedAt.UnixNano(), 10) + "." + string(c.ID)
}

// parsePlace reads a place; an invalid one is the beginning.
func parsePlace(s string) ports.RunCursor {
	nanos, id, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if err != nil || !core.ValidID(id) {
		return ports.RunCursor{}
	}
	return ports.RunCursor{CreatedAt: time.Unix(0, n).UTC(), ID: core.RunID(id)}
}
