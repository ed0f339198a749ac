package httpapi

import (
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Sizes of pages.
const (
	defaultRunsPage  = 50
	maxRunsPage      = 200
	defaultFilesPage = 100
	maxFilesPage     = 1000
	// defaultRunFiles is how many files a run carries with it when it is read, so that a
	// run of 10,000 files is small; ?files= asks for more, up to a page, or for none.
	defaultRunFiles = 100
)

// listRuns is GET /workflow-runs: newest first. A search that reached its bound answers
// with few runs or none, and a cursor to go on from.
func (a *api) listRuns(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	filter, continuable, err := runFilter(r)
	if err != nil {
		return err
	}
	list, err := a.listing(r, "runs", tenant, "status", "template", "createdBy", "file", "from", "to", "continuable")
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	if filter.Before, err = parseRunPlace(place); err != nil {
		return err
	}
	var found app.RunsPage
	if continuable == nil {
		found, err = a.svc.FindRuns(r.Context(), r.actor, tenant, filter)
	} else {
		found, err = a.svc.FindContinuable(r.Context(), r.actor, tenant, filter, *continuable)
	}
	if err != nil {
		return err
	}
	page := runPageJSON{Runs: make([]runJSON, 0, len(found.Runs))}
	if found.Next != (ports.RunCursor{}) {
		page.NextCursor = list.next(w, runPlace(found.Next))
	}
	for _, v := range found.Runs {
		page.Runs = append(page.Runs, toRun(v))
	}
	return writeTagged(w, r, page)
}

// getRun is GET /workflow-runs/{id}: the run with its first files, on one snapshot.
func (a *api) getRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	files, err := r.queryInt("files", defaultRunFiles, 0, maxFilesPage)
	if err != nil {
		return err
	}
	list, err := a.filesOf(r)
	if err != nil {
		return err
	}
	filter := ports.FileFilter{Limit: int(files) + 1}
	view, read, err := a.svc.RunWithFiles(r.Context(), r.actor, id, filter)
	if err != nil {
		return err
	}
	page, next, err := a.pageOf(r, id, read, filter, int(files))
	if err != nil {
		return err
	}
	answer := runWithFilesJSON{runJSON: toRun(view), Files: page, FilesURL: a.cfg.Prefix + "/workflow-runs/" + string(id) + "/files"}
	if next > 0 || files == 0 && len(read) > 0 {
		answer.NextFilesCursor = list.cursor(strconv.Itoa(next))
	}
	return writeTagged(w, r, answer)
}

// filesOf is the list of a run's files, whose cursors a run's own answer gives too.
func (a *api) filesOf(r *request, filters ...string) (*listing, error) {
	return a.listing(r, "files", "", filters...)
}

// listFiles is GET /workflow-runs/{id}/files: ascending by index.
func (a *api) listFiles(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", defaultFilesPage, 1, maxFilesPage)
	if err != nil {
		return err
	}
	filter, err := fileFilter(r)
	if err != nil {
		return err
	}
	list, err := a.filesOf(r, "status", "name")
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	if filter.From, err = parseIndex(place); err != nil {
		return err
	}
	filter.Limit = int(limit) + 1
	run, files, err := a.svc.FilesPage(r.Context(), r.actor, id, filter)
	if err != nil {
		return err
	}
	page, next, err := a.pageOf(r, id, files, filter, int(limit))
	if err != nil {
		return err
	}
	answer := filePageJSON{Files: page}
	if next > 0 {
		answer.NextCursor = list.next(w, strconv.Itoa(next))
	}
	if len(filter.Statuses) == 0 && filter.Name == "" {
		total := run.Tally.Total()
		answer.Total = &total
	}
	return writeTagged(w, r, answer)
}

// cancelRun is POST /workflow-runs/{id}/cancel.
func (a *api) cancelRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	run, err := a.svc.Cancel(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.answeredRun(r, run))
}

// patchRun is PATCH /workflow-runs/{id}: a platform admin raises maxRetryCount.
func (a *api) patchRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	to := body.int("maxRetryCount")
	if err := body.done(); err != nil {
		return err
	}
	// The refusal of the rule names the run's present limit, so it is not checked here.
	// What an int could not hold is replaced by a value that is out of range as well.
	run, err := a.svc.RaiseMaxRetryCount(r.Context(), r.actor, id, int(max(min(to, core.MaxMaxRetryCount+1), 0)))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.answeredRun(r, run))
}

// answeredRun is the run that a use case gave. The change is committed: if the files of
// a closed run cannot be read for the retries that they have left, the answer does
// without them, because an error would call a success a failure.
func (a *api) answeredRun(r *request, run core.Run) runJSON {
	if run.Status.Closed() {
		if view, err := a.svc.Run(r.Context(), r.actor, run.ID); err == nil && view.Run.Epoch == run.Epoch {
			return toRun(app.RunView{Run: run, Refusal: view.Refusal})
		}
	}
	return toRun(app.RunView{Run: run, Refusal: core.Continuable(run, false)})
}
