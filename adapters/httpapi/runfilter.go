package httpapi

import (
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// parameter is one parameter of a filter.
type parameter struct {
	name string
	read func(value string) (mistake string)
}

// readFilter reads the parameters that are there. It names all mistakes at once.
func (r *request) readFilter(parameters []parameter) error {
	var wrong []core.FieldError
	for _, p := range parameters {
		value, err := r.query(p.name)
		if err != nil {
			return err
		}
		if value == "" {
			continue
		}
		if mistake := p.read(value); mistake != "" {
			wrong = append(wrong, core.FieldError{Field: p.name, Message: mistake})
		}
	}
	return core.Invalid(wrong...)
}

// runFilter reads the filter of GET /workflow-runs. continuable is nil if it is not in it.
func runFilter(r *request) (filter ports.RunFilter, continuable *bool, err error) {
	limit, err := r.queryInt("limit", defaultRunsPage, 1, maxRunsPage)
	if err != nil {
		return filter, nil, err
	}
	filter.Limit = int(limit)
	err = r.readFilter([]parameter{
		{"status", func(v string) string {
			for word := range strings.SplitSeq(v, ",") {
				if !core.RunStatus(word).Valid() {
					return "must be RUNNING, COMPLETED, COMPLETED_WITH_ERRORS, FAILED or INTERRUPTED, or several of them with commas between"
				}
				if !slices.Contains(filter.Statuses, core.RunStatus(word)) {
					filter.Statuses = append(filter.Statuses, core.RunStatus(word))
				}
			}
			return ""
		}},
		{"template", func(v string) string {
			filter.Template = core.TemplateID(v)
			return mistakeIf(!core.ValidID(v), "is no template's ID")
		}},
		{"createdBy", func(v string) string {
			filter.CreatedBy = v
			return mistakeIf(len(v) > maxSubjectLength || strings.ContainsFunc(v, isControl), "must have at most 255 characters without control characters")
		}},
		{"file", func(v string) string {
			filter.FileName = v
			return mistakeIf(len([]rune(v)) > core.MaxNameLength || strings.ContainsFunc(v, isControl), "must have at most 255 characters without control characters")
		}},
		{"from", func(v string) string { return readTime(v, &filter.CreatedFrom) }},
		{"to", func(v string) string { return readTime(v, &filter.CreatedTo) }},
		{"continuable", func(v string) string { return readBool(v, &continuable) }},
	})
	if err == nil {
		err = inOrder(filter.CreatedFrom, filter.CreatedTo)
	}
	return filter, continuable, err
}

// inOrder refuses a time range that ends before it begins: it would find nothing, and say so
// of what is there.
func inOrder(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return core.InvalidField("to", "must be after from")
	}
	return nil
}

// fileFilter reads the filter of GET /workflow-runs/{id}/files.
func fileFilter(r *request) (filter ports.FileFilter, err error) {
	err = r.readFilter([]parameter{
		{"status", func(v string) string {
			for word := range strings.SplitSeq(v, ",") {
				if !core.FileStatus(word).Valid() {
					return "must be pending, processing, completed, failed or error, or several of them with commas between"
				}
				if !slices.Contains(filter.Statuses, core.FileStatus(word)) {
					filter.Statuses = append(filter.Statuses, core.FileStatus(word))
				}
			}
			return ""
		}},
		{"name", func(v string) string {
			filter.Name = v
			return mistakeIf(len([]rune(v)) > core.MaxNameLength || strings.ContainsFunc(v, isControl), "must have at most 255 characters without control characters")
		}},
	})
	return filter, err
}

func readBool(value string, to **bool) (mistake string) {
	is := value == "true"
	*to = &is
	return mistakeIf(!is && value != "false", "must be true or false")
}

func mistakeIf(wrong bool, mistake string) string {
	if wrong {
		return mistake
	}
	return ""
}

// readTime reads a time, or a day, which means its beginning in UTC.
func readTime(value string, to *time.Time) (mistake string) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			*to = t.UTC()
			return ""
		}
	}
	return "must be a time such as 2026-11-26T15:04:05Z, or a day such as 2026-11-26"
}
