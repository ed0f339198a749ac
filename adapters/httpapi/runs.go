package httpapi

import (
	"net/http"

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
	// inlineFiles is how many files a run carries with it when it is read.
	inlineFiles = 1000
)

// listRuns is GET /workflow-runs: newest first. A search that reached its bound answers
// with few runs or none, and a cursor to go on from.
func (a *api) listRuns(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	filter, err := runFilter(r)
	if err != nil {
		return err
	}
	found, err := a.svc.FindRuns(r.Context(), r.actor, tenant, filter)
	if err != nil {
		return err
	}
	page := runPageJSON{Runs: make([]runJSON, 0, len(found.Runs))}
	if found.Next != (ports.RunCursor{}) {
		page.NextCursor = runCursor(found.Next)
	}
	for _, v := range found.Runs {
		page.Runs = append(page.Runs, toRun(v))
	}
	return writeJSON(w, http.StatusOK, page)
}

// getRun is GET /workflow-runs/{id}: the run with its first files, on one snapshot.
func (a *api) getRun(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	filter := ports.FileFilter{Limit: inlineFiles + 1}
	view, files, err := a.svc.RunWithFiles(r.Context(), r.actor, id, filter)
	if err != nil {
		return err
	}
	page, err := a.pageOf(r, id, files, filter, inlineFiles)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, runWithFilesJSON{runJSON: toRun(view), Files: page.Files, NextFilesCursor: page.NextCursor})
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
	cursor, err := r.query("cursor")
	if err != nil {
		return err
	}
	from, err := parseFileCursor(cursor)
	if err != nil {
		return err
	}
	filter := ports.FileFilter{From: from, Limit: int(limit) + 1}
	files, err := a.svc.RunFiles(r.Context(), r.actor, id, filter)
	if err != nil {
		return err
	}
	page, err := a.pageOf(r, id, files, filter, int(limit))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
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
