package webui

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

const (
	bulksPerPage    = 50
	bulkRunsPerPage = 100
)

// bulkNewView is what a bulk continue of the selected runs would do.
type bulkNewView struct {
	URL, Back string
	Facts     []fact
	Refused   []bulkRefusal
	Enabled   bool
	// Hidden fields of the form.
	Runs                       []string
	Status, Template, From, To string
	Price                      int64
	Key                        string
}

// bulkRefusal is why runs are refused, and how many.
type bulkRefusal struct {
	Count string
	Why   string
	Runs  []bulkLink
}

type bulkLink struct{ URL, ID string }

// bulkRequest reads which runs were selected: those that are named, or else those of the
// list's filter.
func (r *request) bulkRequest(tenant core.TenantID, get func(string) string, runs []string) app.BulkRequest {
	req := app.BulkRequest{Tenant: tenant}
	for _, id := range runs {
		req.Runs = append(req.Runs, core.RunID(id))
	}
	if len(runs) > 0 {
		return req
	}
	f := r.filterOf(get)
	req.Selection = core.BulkSelection{Template: core.TemplateID(f.Template), CreatedFrom: f.from, CreatedTo: f.to}
	if f.Status != "" {
		req.Selection.Statuses = []core.RunStatus{core.RunStatus(f.Status)}
	}
	return req
}

// newBulkPage is GET /ui/bulk/new: the sum before.
func (u *ui) newBulkPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	runs := q["run"]
	preview, err := u.svc.PreviewBulk(r.Context(), r.actor(), r.bulkRequest(tenant, q.Get, runs))
	if err != nil {
		return err
	}
	f := r.filterOf(q.Get)
	v := bulkNewView{
		URL: r.of(tenant, Prefix+"bulk"), Back: r.of(tenant, Prefix+"runs"), Enabled: preview.Accepted > 0,
		Runs: runs, Status: f.Status, Template: f.Template, From: f.From, To: f.To, Price: int64(preview.Price), Key: rand.Text(),
	}
	v.Facts = []fact{
		{r.T("bulk.runs"), r.N(int64(preview.Accepted))},
		{r.T("bulk.charged"), r.N(int64(preview.Charged))},
		{r.T("bulk.free"), r.N(int64(preview.Free))},
		{r.T("bulk.price"), r.Credits(preview.Price)},
	}
	if len(preview.Tenants) == 1 {
		available := preview.Tenants[0].Available
		v.Facts = append(v.Facts, fact{r.T("bulk.balance"), r.T("continue.balance", int64(available), int64(available-preview.Price))})
	}
	for _, code := range slices.Sorted(maps.Keys(preview.Refused)) {
		refusal := bulkRefusal{Count: r.T("bulk.refused", preview.Refused[code]), Why: r.bulkWords(code, preview.Reasons[code])}
		for _, s := range preview.Samples {
			if s.Code == code {
				refusal.Runs = append(refusal.Runs, bulkLink{addr("runs", string(s.Run)), string(s.Run)})
			}
		}
		v.Refused = append(v.Refused, refusal)
	}
	return u.render(w, r, http.StatusOK, "bulknew.html", page{Title: r.T("bulk.new"), Nav: "runs", Tenant: tenant, Data: v})
}

// bulkWords gives the refusal of a run as a sentence.
func (l language) bulkWords(code core.Code, otherwise string) string {
	return l.refusalWords(&core.Error{Code: code, Message: otherwise})
}

// createBulk is POST /ui/bulk.
func (u *ui) createBulk(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
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
	req := r.bulkRequest(tenant, form.Get, form["run"])
	most := core.Credits(price) // what was shown
	req.Terms.MaxPrice, req.IdempotencyKey = &most, core.Key(form.Get("key"))
	if form.Get("canary") != "" {
		req.Terms.Canary = &core.BulkCanary{Runs: 1, MaxFailedPercent: bulkCanaryPercent}
	}
	v, _, err := u.svc.CreateBulk(r.Context(), r.actor(), req)
	if err != nil {
		return err
	}
	return r.redirect(w, addr("bulk", string(v.Bulk.ID)))
}

// bulkCanaryPercent is how many of the first run's files may fail.
const bulkCanaryPercent = 20

// bulkView is a bulk continue and how far it is.
type bulkView struct {
	Badge         Badge
	Why, Help     string
	Bar           Bar
	By            string
	At            Moment
	Facts         []fact
	Refused       []bulkRefusal
	Rows          []bulkRunRow
	Missing       *Notice // of tenants that cannot be asked; nil: there are none
	Pager         Pager
	URL           string
	Pause, Resume bool
	Abort         *Confirm
	MaxPrice      bool // a resume needs a new limit
	Least         string
}

type bulkRunRow struct {
	URL, ID, Tenant string
	Badge           Badge
	Text            string
	At              Moment
}

func (r *request) bulkID() (core.BulkID, error) {
	id := r.PathValue("id")
	if !core.ValidID(id) {
		return "", core.ErrBulkNotFound
	}
	return core.BulkID(id), nil
}

// bulkPage is GET /ui/bulk/{id}.
func (u *ui) bulkPage(w http.ResponseWriter, r *request) error {
	id, err := r.bulkID()
	if err != nil {
		return err
	}
	view, err := u.svc.Bulk(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	b, t := view.Bulk, view.Totals
	v := bulkView{URL: addr("bulk", string(id)), Badge: r.bulkBadge(b.Status), By: visible(b.By.Subject), At: r.Time(b.CreatedAt)}
	if b.Reason != core.BulkReasonNone {
		v.Why, v.Help = r.T("bulk.reason."+string(b.Reason)), r.T("bulk.help."+string(b.Reason))
	}
	done := r.T("bulk.done", t.Continued+t.Refused, b.Runs)
	v.Bar = newBar(done, b.Runs, barPart{t.Continued - t.Open, ToneGood}, barPart{t.Open, ToneBusy}, barPart{t.Refused, ToneWarn})
	v.Facts = []fact{
		{r.T("bulk.continued"), r.N(int64(t.Continued))},
		{r.T("bulk.open"), r.N(int64(t.Open))},
		{r.T("bulk.waiting"), r.N(int64(t.Waiting))},
		{r.T("bulk.files"), r.N(int64(t.Files))},
		{r.T("bulk.failed"), r.N(int64(t.Failures.Failed))},
		{r.T("bulk.price"), r.Credits(t.Price)},
	}
	if b.Terms.MaxPrice != nil {
		v.Facts = append(v.Facts, fact{r.T("bulk.most"), r.Credits(*b.Terms.MaxPrice)})
	}
	for _, code := range slices.Sorted(maps.Keys(t.RefusedBy)) {
		v.Refused = append(v.Refused, bulkRefusal{Count: r.T("bulk.refused", t.RefusedBy[code]), Why: r.bulkWords(code, string(code))})
	}
	if t.Unknown > 0 {
		v.Missing = &Notice{Tone: ToneWarn, Text: r.T("bulk.unknown", t.Unknown), More: r.T("bulk.unknown.more")}
	}
	may := core.Authorize(r.actor(), core.ActionContinue, b.Tenant) == nil
	if may && !b.Status.Ended() {
		v.Pause, v.Resume = b.Status == core.BulkRunning, b.Status == core.BulkPaused
		v.Abort = &Confirm{Open: r.T("bulk.abort"), Text: r.T("bulk.abort.text"), Do: r.T("bulk.abort.do"), Action: v.URL + "/abort", Tone: ToneBad}
		if v.MaxPrice = b.Reason == core.BulkReasonMaxPrice; v.MaxPrice && b.Terms.MaxPrice != nil {
			v.Least = strconv.FormatInt(int64(*b.Terms.MaxPrice)+1, 10)
		}
	}
	if err := u.bulkRows(r, view, &v, done); err != nil {
		return err
	}
	p := page{Title: r.T("bulk.title"), Nav: "runs", Tenant: b.Tenant, Data: v}
	if b.Status == core.BulkRunning {
		p.Poll = 5
	}
	return u.render(w, r, http.StatusOK, "bulk.html", p)
}

func (u *ui) bulkRows(r *request, view app.BulkView, v *bulkView, done string) error {
	from := app.BulkRunCursor{
		Tenant: core.TenantID(r.URL.Query().Get("part")), Place: r.queryInt("from", 0, 0, core.MaxBulkRuns),
	}
	if from.Tenant != "" && !core.ValidID(from.Tenant) {
		from = app.BulkRunCursor{}
	}
	runs, next, err := u.svc.BulkRuns(r.Context(), r.actor(), view.Bulk.ID, from, "", bulkRunsPerPage)
	missing, err := u.missing(r, err)
	if err != nil {
		return err
	}
	if v.Missing == nil {
		v.Missing = missing
	}
	for _, run := range runs {
		row := bulkRunRow{URL: addr("runs", string(run.Run)), ID: string(run.Run), At: r.Time(run.At)}
		if view.Bulk.Tenant == "" {
			row.Tenant = string(run.Tenant)
		}
		switch {
		case run.State == core.BulkRunRefused:
			row.Badge, row.Text = Badge{r.T("bulk.run.refused"), ToneWarn}, r.bulkWords(run.Code, run.Message)
		case run.State == core.BulkRunWaiting:
			row.Badge = Badge{r.T("bulk.run.waiting"), ToneNeutral}
		case run.Open:
			row.Badge, row.Text = Badge{r.T("bulk.run.open"), ToneBusy}, r.Credits(run.Price)
		default:
			row.Badge, row.Text = r.runBadge(run.Status), r.Credits(run.Price)
			if run.Status == "" {
				row.Badge = Badge{r.T("bulk.run.continued"), ToneGood}
			}
		}
		v.Rows = append(v.Rows, row)
	}
	first, more := "", ""
	if from != (app.BulkRunCursor{}) {
		first = v.URL
	}
	if next != nil {
		more = withQuery(v.URL, "part", string(next.Tenant), "from", strconv.Itoa(next.Place))
	}
	v.Pager = r.pager(done, first, "", more)
	return nil
}

func (l language) bulkBadge(s core.BulkStatus) Badge {
	tone := map[core.BulkStatus]Tone{
		core.BulkRunning: ToneBusy, core.BulkPaused: ToneWarn, core.BulkFinished: ToneGood, core.BulkAborted: ToneNeutral,
	}[s]
	return Badge{l.T("bulk.status." + string(s)), tone}
}

// bulksView is the list of bulk continues.
type bulksView struct {
	Rows    []bulkListRow
	Missing *Notice
	Pager   Pager
	Empty   Empty
}

type bulkListRow struct {
	URL, ID, By, Text, Price string
	Badge                    Badge
	At                       Moment
}

// bulksPage is GET /ui/bulk.
func (u *ui) bulksPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	before := parsePlace(r.URL.Query().Get("before"))
	filter := ports.BulkFilter{Tenant: tenant, Before: ports.BulkCursor{CreatedAt: before.CreatedAt, ID: core.BulkID(before.ID)}, Limit: bulksPerPage + 1}
	list, err := u.svc.Bulks(r.Context(), r.actor(), filter)
	if err != nil {
		return err
	}
	base := r.of(tenant, Prefix+"bulk")
	v := bulksView{Empty: Empty{Icon: "runs", Title: r.T("bulk.none.title"), Text: r.T("bulk.none.text"), URL: r.of(tenant, Prefix+"runs"), Link: r.T("problem.back")}}
	first, next := "", ""
	if before != (ports.RunCursor{}) {
		first = base
	}
	if len(list) > bulksPerPage {
		list = list[:bulksPerPage]
		last := list[bulksPerPage-1].Bulk
		next = withQuery(base, "before", place(ports.RunCursor{CreatedAt: last.CreatedAt, ID: core.RunID(last.ID)}))
	}
	for _, b := range list {
		if b.Missing != nil && v.Missing == nil {
			v.Missing = r.missingNotice(nil)
		}
		v.Rows = append(v.Rows, bulkListRow{
			URL: addr("bulk", string(b.Bulk.ID)), ID: string(b.Bulk.ID), By: visible(b.Bulk.By.Subject), Badge: r.bulkBadge(b.Bulk.Status),
			Text: r.T("bulk.done", b.Totals.Continued+b.Totals.Refused, b.Bulk.Runs), Price: r.N(int64(b.Totals.Price)), At: r.Time(b.Bulk.CreatedAt),
		})
	}
	v.Pager = r.pager(r.T("bulk.shown", len(list)), first, "", next)
	return u.render(w, r, http.StatusOK, "bulks.html", page{Title: r.T("bulk.list"), Nav: "runs", Tenant: tenant, Data: v})
}

// pauseBulk is POST /ui/bulk/{id}/pause.
func (u *ui) pauseBulk(w http.ResponseWriter, r *request) error {
	return u.changeBulk(w, r, func(id core.BulkID) error { _, err := u.svc.PauseBulk(r.Context(), r.actor(), id); return err })
}

// resumeBulk is POST /ui/bulk/{id}/resume.
func (u *ui) resumeBulk(w http.ResponseWriter, r *request) error {
	form, err := r.form(w)
	if err != nil {
		return err
	}
	var most *core.Credits
	if text := form.Get("maxPrice"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return core.InvalidField("maxPrice", "is not an amount of credits")
		}
		most = new(core.Credits)
		*most = core.Credits(n)
	}
	return u.changeBulk(w, r, func(id core.BulkID) error {
		_, err := u.svc.ResumeBulk(r.Context(), r.actor(), id, most)
		return err
	})
}

// abortBulk is POST /ui/bulk/{id}/abort.
func (u *ui) abortBulk(w http.ResponseWriter, r *request) error {
	return u.changeBulk(w, r, func(id core.BulkID) error { _, err := u.svc.AbortBulk(r.Context(), r.actor(), id); return err })
}

func (u *ui) changeBulk(w http.ResponseWriter, r *request, change func(core.BulkID) error) error {
	id, err := r.bulkID()
	if err != nil {
		return err
	}
	if err := change(id); err != nil {
		return err
	}
	return r.redirect(w, addr("bulk", string(id)))
}
