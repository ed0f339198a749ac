package webui

import (
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// runFilter is the filter of the list of runs.
type runFilter struct {
	Status, Template, By, File, From, To string
	before                               ports.RunCursor
	from, to                             time.Time
}

// option is one choice of several.
type option struct {
	Value, Text string
	Chosen      bool
}

// runFilter reads the query; invalid values are ignored.
func (r *request) runFilter() runFilter { return r.filterOf(r.URL.Query().Get) }

// filterOf reads the fields of a filter.
func (r *request) filterOf(get func(string) string) runFilter {
	f := runFilter{
		Status: get("status"), Template: get("template"), By: cut(get("by")), File: cut(get("file")),
		before: parsePlace(get("before")),
	}
	if !core.RunStatus(f.Status).Valid() {
		f.Status = ""
	}
	if !core.ValidID(f.Template) {
		f.Template = ""
	}
	if day, err := time.ParseInLocation(time.DateOnly, get("from"), r.Zone); err == nil {
		f.From, f.from = get("from"), day.UTC()
	}
	if day, err := time.ParseInLocation(time.DateOnly, get("to"), r.Zone); err == nil {
		f.To, f.to = get("to"), day.AddDate(0, 0, 1).UTC()
	}
	return f
}

// cut bounds a search term.
func cut(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), ""))
	return s[:min(len(s), core.MaxNameLength)]
}

func (f runFilter) searches() bool { return f.Template != "" || f.By != "" || f.File != "" }
func (f runFilter) dated() bool    { return f.From != "" || f.To != "" }

// More reports whether the fields that are folded away are in use.
func (f runFilter) More() bool { return f.searches() || f.dated() }

func (f runFilter) filter() ports.RunFilter {
	p := ports.RunFilter{
		CreatedFrom: f.from, CreatedTo: f.to, Before: f.before, Limit: runsPerPage,
		Template: core.TemplateID(f.Template), CreatedBy: f.By, FileName: f.File,
	}
	if f.Status != "" {
		p.Statuses = []core.RunStatus{core.RunStatus(f.Status)}
	}
	return p
}

// in gives the address of a list with this filter.
func (f runFilter) in(base string) string {
	return withQuery(base, "status", f.Status, "template", f.Template, "by", f.By, "file", f.File, "from", f.From, "to", f.To)
}

func (r *request) templateOptions(names map[core.TemplateID]string, chosen string) []option {
	list := make([]option, 0, len(names))
	for id, name := range names {
		list = append(list, option{Value: string(id), Text: name, Chosen: string(id) == chosen})
	}
	slices.SortFunc(list, func(a, b option) int { return strings.Compare(a.Text+a.Value, b.Text+b.Value) })
	return list
}
