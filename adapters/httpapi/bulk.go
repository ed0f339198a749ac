package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

const (
	defaultBulksPage    = 50
	maxBulksPage        = 200
	defaultBulkRunsPage = 100
	maxBulkRunsPage     = 1000
)

func (a *api) bulkRoutes() []route {
	return []route{
		get("/bulk-continues", onScope(core.ActionRead), a.listBulks),
		post("/bulk-continues", onScope(core.ActionContinue), a.createBulk),
		post("/bulk-continues/preview", onScope(core.ActionContinue), a.previewBulk),
		get("/bulk-continues/:id", onBulk(core.ActionRead), a.getBulk),
		get("/bulk-continues/:id/runs", onBulk(core.ActionRead), a.listBulkRuns),
		post("/bulk-continues/:id/pause", onBulk(core.ActionContinue), a.pauseBulk),
		post("/bulk-continues/:id/resume", onBulk(core.ActionContinue), a.resumeBulk),
		post("/bulk-continues/:id/abort", onBulk(core.ActionContinue), a.abortBulk),
	}
}

// bulkID is the bulk continue that the path names.
func (r *request) bulkID() (core.BulkID, error) {
	if !core.ValidID(r.id) {
		return "", refused(core.CodeBulkNotFound, "there is no such bulk continue")
	}
	return core.BulkID(r.id), nil
}

// listBulks is GET /bulk-continues: newest first.
func (a *api) listBulks(w http.ResponseWriter, r *request) error {
	limit, err := r.queryInt("limit", defaultBulksPage, 1, maxBulksPage)
	if err != nil {
		return err
	}
	filter := ports.BulkFilter{Limit: int(limit) + 1}
	if filter.Tenant, err = r.scope(); err != nil {
		return err
	}
	if filter.Unended, err = r.queryBool("unended"); err != nil {
		return err
	}
	cursors, err := a.listing(r, "bulk continues", filter.Tenant, "allTenants", "unended")
	if err != nil {
		return err
	}
	place, err := cursors.place()
	if err != nil {
		return err
	}
	if filter.Before, err = parseBulkPlace(place); err != nil {
		return err
	}
	list, err := a.svc.Bulks(r.Context(), r.actor, filter)
	if err != nil {
		return err
	}
	page := bulkPageJSON{BulkContinues: make([]bulkJSON, 0, len(list))}
	if len(list) > int(limit) {
		list = list[:limit]
		last := list[limit-1].Bulk
		page.NextCursor = cursors.next(w, strconv.FormatInt(last.CreatedAt.UnixNano(), 10)+"/"+string(last.ID))
	}
	for _, v := range list {
		page.BulkContinues = append(page.BulkContinues, toBulk(v))
	}
	return writeJSON(w, http.StatusOK, page)
}

// scope is the tenant that a request is about, empty if it is about all of them.
func (r *request) scope() (core.TenantID, error) {
	all, err := r.queryBool("allTenants")
	if err != nil {
		return "", err
	}
	if !all {
		return r.queryTenant()
	}
	named, err := r.query("tenant")
	if err == nil && named != "" {
		err = core.InvalidField("tenant", "cannot be combined with allTenants")
	}
	return "", err
}

// queryBool gives a parameter that is true or false; false if it is not there.
func (r *request) queryBool(name string) (bool, error) {
	text, err := r.query(name)
	switch {
	case err != nil:
		return false, err
	case text == "", text == "false":
		return false, nil
	case text == "true":
		return true, nil
	}
	return false, core.InvalidField(name, "must be true or false")
}

func parseBulkPlace(place string) (ports.BulkCursor, error) {
	if place == "" {
		return ports.BulkCursor{}, nil
	}
	nanos, id, slash := strings.Cut(place, "/")
	n, err := strconv.ParseInt(nanos, 10, 64)
	if !slash || err != nil || !core.ValidID(id) {
		return ports.BulkCursor{}, badCursor()
	}
	return ports.BulkCursor{CreatedAt: time.Unix(0, n).UTC(), ID: core.BulkID(id)}, nil
}

// bulkRequest reads the body of what makes or previews a bulk continue.
func (a *api) bulkRequest(w http.ResponseWriter, r *request) (app.BulkRequest, error) {
	tenant, err := r.scope()
	if err != nil {
		return app.BulkRequest{}, err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return app.BulkRequest{}, err
	}
	req := app.BulkRequest{Tenant: tenant}
	for _, id := range body.strings("runs", core.MaxBulkNamedRuns) {
		req.Runs = append(req.Runs, core.RunID(id))
	}
	s := &req.Selection
	if template := body.optionalString("template"); template != nil {
		s.Template = core.TemplateID(*template)
	}
	for _, status := range body.strings("status", 5) {
		s.Statuses = append(s.Statuses, core.RunStatus(status))
	}
	body.time("from", &s.CreatedFrom)
	body.time("to", &s.CreatedTo)
	if code := body.optionalString("failureCode"); code != nil {
		s.FailureCode = *code
	}
	body.bulkTerms(&req.Terms)
	return req, body.done()
}

func (o *object) bulkTerms(t *core.BulkTerms) {
	if n := o.optionalInt("maxPrice"); n != nil {
		most := core.Credits(*n)
		t.MaxPrice = &most
	}
	if n := o.optionalInt("runsPerMinute"); n != nil {
		if t.RunsPerMinute = int(*n); *n < 1 {
			t.RunsPerMinute = -1 // 0 is not no limit: it is left out for that
		}
	}
	small := func(o *object, name string, otherwise int) int {
		if n := o.optionalInt(name); n != nil {
			return int(min(max(*n, -1), 1<<30)) // what is out of range is refused as such
		}
		return otherwise
	}
	if c := o.object("canary"); c != nil {
		t.Canary = &core.BulkCanary{Runs: small(c, "runs", 1), MaxFailedPercent: small(c, "maxFailedPercent", 0)}
		c.rest()
	}
	if s := o.object("stop"); s != nil {
		t.Stop = &core.BulkStop{MaxFailedPercent: small(s, "maxFailedPercent", 0), MinFiles: small(s, "minFiles", defaultStopFiles)}
		s.rest()
	}
}

// defaultStopFiles is after how many files a threshold says something.
const defaultStopFiles = 20

// createBulk is POST /bulk-continues.
func (a *api) createBulk(w http.ResponseWriter, r *request) error {
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	req, err := a.bulkRequest(w, r)
	if err != nil {
		return err
	}
	req.IdempotencyKey = key
	v, replayed, err := a.svc.CreateBulk(r.Context(), r.actor, req)
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.Header().Set("Location", a.cfg.Prefix+"/bulk-continues/"+string(v.Bulk.ID))
	return writeJSON(w, http.StatusCreated, toBulk(v))
}

// previewBulk is POST /bulk-continues/preview: what createBulk would do.
func (a *api) previewBulk(w http.ResponseWriter, r *request) error {
	req, err := a.bulkRequest(w, r)
	if err != nil {
		return err
	}
	p, err := a.svc.PreviewBulk(r.Context(), r.actor, req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toBulkPreview(p))
}

// getBulk is GET /bulk-continues/{id}.
func (a *api) getBulk(w http.ResponseWriter, r *request) error {
	id, err := r.bulkID()
	if err != nil {
		return err
	}
	v, err := a.svc.Bulk(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toBulkWithTenants(v))
}

// listBulkRuns is GET /bulk-continues/{id}/runs: what became of each run.
func (a *api) listBulkRuns(w http.ResponseWriter, r *request) error {
	id, err := r.bulkID()
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", defaultBulkRunsPage, 1, maxBulkRunsPage)
	if err != nil {
		return err
	}
	state, err := r.query("state")
	if err != nil {
		return err
	}
	switch core.BulkRunState(state) {
	case "", core.BulkRunWaiting, core.BulkRunContinued, core.BulkRunRefused:
	default:
		return core.InvalidField("state", "must be waiting, continued or refused")
	}
	cursors, err := a.listing(r, "runs of a bulk continue", "", "state")
	if err != nil {
		return err
	}
	place, err := cursors.place()
	if err != nil {
		return err
	}
	from, err := parseBulkRunPlace(place)
	if err != nil {
		return err
	}
	runs, next, err := a.svc.BulkRuns(r.Context(), r.actor, id, from, core.BulkRunState(state), int(limit))
	missing, err := cursors.incompletePage(err)
	if err != nil {
		return err
	}
	page := bulkRunPageJSON{Runs: make([]bulkRunJSON, 0, len(runs)), Incomplete: missing}
	if next != nil {
		page.NextCursor = cursors.next(w, strconv.Itoa(next.Place)+"/"+string(next.Tenant))
	}
	for _, run := range runs {
		page.Runs = append(page.Runs, toBulkRun(run))
	}
	return writeJSON(w, http.StatusOK, page)
}

func parseBulkRunPlace(text string) (app.BulkRunCursor, error) {
	if text == "" {
		return app.BulkRunCursor{}, nil
	}
	place, tenant, slash := strings.Cut(text, "/")
	n, err := strconv.ParseInt(place, 10, 32)
	if !slash || err != nil || n < 0 || !core.ValidID(tenant) {
		return app.BulkRunCursor{}, badCursor()
	}
	return app.BulkRunCursor{Tenant: core.TenantID(tenant), Place: int(n)}, nil
}

// pauseBulk is POST /bulk-continues/{id}/pause.
func (a *api) pauseBulk(w http.ResponseWriter, r *request) error {
	return a.changeBulk(w, r, func(id core.BulkID) (app.BulkView, error) { return a.svc.PauseBulk(r.Context(), r.actor, id) })
}

// resumeBulk is POST /bulk-continues/{id}/resume; ?maxPrice= is the new limit of the sum.
func (a *api) resumeBulk(w http.ResponseWriter, r *request) error {
	most, err := r.maxPrice()
	if err != nil {
		return err
	}
	return a.changeBulk(w, r, func(id core.BulkID) (app.BulkView, error) { return a.svc.ResumeBulk(r.Context(), r.actor, id, most) })
}

// abortBulk is POST /bulk-continues/{id}/abort.
func (a *api) abortBulk(w http.ResponseWriter, r *request) error {
	return a.changeBulk(w, r, func(id core.BulkID) (app.BulkView, error) { return a.svc.AbortBulk(r.Context(), r.actor, id) })
}

func (a *api) changeBulk(w http.ResponseWriter, r *request, change func(core.BulkID) (app.BulkView, error)) error {
	id, err := r.bulkID()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	v, err := change(id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toBulkWithTenants(v))
}

// strings gives an array of strings, at most limit of them; none if it is not there.
func (o *object) strings(name string, limit int) []string {
	v := o.take(name)
	if v == nil {
		return nil
	}
	if v.kind != kindArray || len(v.list) > limit {
		o.refuse(name, "must be an array of at most %d strings", limit)
		return nil
	}
	list := make([]string, 0, len(v.list))
	for i, element := range v.list {
		if element.kind != kindString {
			o.refuse(name+"["+strconv.Itoa(i)+"]", "must be a string")
			continue
		}
		list = append(list, element.text)
	}
	if len(v.list) == 0 {
		o.refuse(name, "must have an element, or be left out")
	}
	return list
}

// object gives an object; nil if it is not there.
func (o *object) object(name string) *object {
	v := o.take(name)
	if v == nil {
		return nil
	}
	if v.kind != kindObject {
		o.refuse(name, "must be an object")
		return nil
	}
	return v.object
}

// time reads a time, or a day, as filters have it.
func (o *object) time(name string, to *time.Time) {
	if s := o.optionalString(name); s != nil {
		if mistake := readTime(*s, to); mistake != "" {
			o.refuse(name, "%s", mistake)
		}
	}
}
