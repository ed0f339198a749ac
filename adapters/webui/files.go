package webui

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// filesPerPage keeps a run of 10,000 files usable.
	filesPerPage = 100
	// outputShown is how many bytes of an output a page shows; the rest is a download.
	outputShown = 64 << 10
)

// filesView is a page of a run's files.
type filesView struct {
	URL   string // of the search
	Name  string // the searched name
	Shown string // the chosen tab
	Tabs  []Tab
	Rows  []fileRow
	Pager Pager
	Empty string
}

// fileRow is one file of a run.
type fileRow struct {
	Index   int
	URL     string
	Name    string
	Size    string
	Badge   Badge
	Retries string
	Failure *failure
	Input   string // address of the uploaded content
	Output  string // address; empty: there is none
}

// fileFilter is a tab above the files.
type fileFilter struct {
	name     string
	statuses []core.FileStatus
}

var fileFilters = []fileFilter{
	{"", nil},
	{"failed", []core.FileStatus{core.FileFailed}},
	{"error", []core.FileStatus{core.FileError}},
	{"waiting", []core.FileStatus{core.FilePending, core.FileProcessing}},
	{"completed", []core.FileStatus{core.FileCompleted}},
}

// filesView reads the page of files that the query selects.
func (u *ui) filesView(r *request, run core.Run) (filesView, error) {
	chosen := fileFilters[0]
	base := addr("runs", string(run.ID))
	t := run.Tally
	counts := []int{t.Total(), t.Failed, t.Error, t.Unfinished, t.Completed}
	var v filesView
	total := counts[0]
	for i, f := range fileFilters {
		key := "files." + f.name
		switch {
		case f.name == "":
			key = "files.all"
		case f.name == "waiting" && run.Status.Closed():
			key = "files.interrupted"
		}
		current := r.URL.Query().Get("files") == f.name
		if current {
			chosen, total = f, counts[i]
		}
		v.Tabs = append(v.Tabs, Tab{Text: r.T(key), URL: withQuery(base, "files", f.name, "name", r.URL.Query().Get("name")) + "#files", Count: r.N(int64(counts[i])), Current: current})
	}
	from := r.queryInt("from", 0, 0, 1<<30)
	name := r.URL.Query().Get("name")
	files, err := u.svc.RunFiles(r.Context(), r.actor(), run.ID, ports.FileFilter{From: from, Limit: filesPerPage + 1, Statuses: chosen.statuses, Name: name})
	if err != nil {
		return filesView{}, err
	}
	next, first, previous := "", "", ""
	at := func(index int) string {
		return withQuery(base, "files", chosen.name, "name", name, "from", strconv.Itoa(index)) + "#files"
	}
	if len(files) > filesPerPage {
		next = at(files[filesPerPage].Index)
		files = files[:filesPerPage]
	}
	if from > 0 {
		first = at(0)
		if chosen.statuses == nil && name == "" {
			previous = at(max(0, from-filesPerPage))
		}
	}
	text := r.T("files.some", len(files), total)
	switch {
	case name != "":
		text = r.T("files.found", len(files))
	case chosen.statuses == nil && len(files) > 0:
		text = r.T("files.range", files[0].Index+1, files[len(files)-1].Index+1, total)
	}
	v.URL, v.Name, v.Shown = base, name, chosen.name
	v.Pager = r.pager(text, first, previous, next)
	if len(files) == 0 {
		v.Empty = r.T("files.none")
		if name != "" {
			v.Empty = r.T("files.none.name")
		}
	}
	for _, f := range files {
		v.Rows = append(v.Rows, r.fileRow(run, f))
	}
	return v, nil
}

func (r *request) fileRow(run core.Run, f core.File) fileRow {
	row := fileRow{
		Index: f.Index, URL: addr("runs", string(run.ID), "files", strconv.Itoa(f.Index)), Name: visible(f.Name), Size: r.Bytes(f.Size),
		Badge: r.fileBadge(f, run.Status), Retries: r.retriesUsed(run, f), Failure: r.failure(run, f),
	}
	row.Input = row.URL + "/input"
	if f.Status == core.FileCompleted {
		row.Output = row.URL + "/output"
	}
	return row
}

// retriesUsed is "1 of 3", followed by the free ones.
func (l language) retriesUsed(run core.Run, f core.File) string {
	text := l.T("files.retries", f.RetryAttempt-f.FreeRetries, run.MaxRetryCount)
	if f.FreeRetries > 0 {
		text += " " + l.T("files.retries.free", f.FreeRetries)
	}
	return text
}

// fileIndex is the file that the path names.
func (r *request) fileIndex() (core.RunID, int, error) {
	id, err := r.runID()
	if err != nil {
		return "", 0, err
	}
	index, err := strconv.Atoi(r.PathValue("index"))
	if err != nil || index < 0 {
		return "", 0, errNoPage
	}
	return id, index, nil
}

// readFile reads one file with its output.
func (u *ui) readFile(r *request) (core.Run, core.File, error) {
	id, index, err := r.fileIndex()
	if err != nil {
		return core.Run{}, core.File{}, err
	}
	view, err := u.svc.Run(r.Context(), r.actor(), id)
	if err != nil {
		return core.Run{}, core.File{}, err
	}
	f, err := u.svc.FileOutput(r.Context(), r.actor(), id, index)
	return view.Run, f, err
}

// fileNames gives the names of some files of a run.
func (u *ui) fileNames(r *request, id core.RunID, indexes []int) ([]string, error) {
	var names []string
	for _, i := range indexes {
		files, err := u.svc.RunFiles(r.Context(), r.actor(), id, ports.FileFilter{From: i, Limit: 1})
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			names = append(names, visible(f.Name))
		}
	}
	return names, nil
}

// fileView is the page of one file.
type fileView struct {
	fileRow
	Run, RunName string
	Output       string
	Cut          string // how much is shown, if not all
	Download     string
}

// filePage is GET /ui/runs/{id}/files/{index}.
func (u *ui) filePage(w http.ResponseWriter, r *request) error {
	run, f, err := u.readFile(r)
	if err != nil {
		return err
	}
	v := fileView{fileRow: r.fileRow(run, f), Run: addr("runs", string(run.ID))}
	template, err := u.svc.Template(r.Context(), r.actor(), run.Tenant, run.Template)
	if err != nil {
		return err
	}
	v.RunName = visible(template.Name)
	if f.Status == core.FileCompleted {
		v.Output, v.Download = f.Output, v.fileRow.Output
		if len(v.Output) > outputShown {
			v.Output = strings.Clone(v.Output[:outputShown]) // else all of it stays in memory until the page is read
			v.Cut = r.T("file.cut", r.Bytes(outputShown), r.Bytes(int64(len(f.Output))))
		}
	}
	return u.render(w, r, http.StatusOK, "file.html", page{Title: v.Name, Nav: "runs", Tenant: run.Tenant, Data: v})
}
