package httpapi

import (
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// runFilter reads the filter of GET /workflow-runs. It names all mistakes at once.
func runFilter(r *request) (ports.RunFilter, error) {
	var filter ports.RunFilter
	limit, err := r.queryInt("limit", defaultRunsPage, 1, maxRunsPage)
	if err != nil {
		return filter, err
	}
	filter.Limit = int(limit)
	var wrong []core.FieldError
	for _, p := range []struct {
		name string
		read func(value string) (mistake string)
	}{
		{"status", func(v string) string {
			for word := range strings.SplitSeq(v, ",") {
				if !core.RunStatus(word).Valid() {
					return "must be RUNNING, COMPLETED, COMPLETED_WITH_ERRORS, FAILED or INTERRUPTED, or several of them with commas between"
				}
				filter.Statuses = append(filter.Statuses, core.RunStatus(word))
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
	} {
		value, err := r.query(p.name)
		if err != nil {
			return filter, err
		}
		if value == "" {
			continue
		}
		if mistake := p.read(value); mistake != "" {
			wrong = append(wrong, core.FieldError{Field: p.name, Message: mistake})
		}
	}
	if err := core.Invalid(wrong...); err != nil {
		return filter, err
	}
	cursor, err := r.query("cursor")
	if err != nil {
		return filter, err
	}
	filter.Before, err = parseRunCursor(cursor)
	return filter, err
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
