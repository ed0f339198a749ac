package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func (t *tx) Find() ports.Finder { return finder{t} }

type finder struct{ t *tx }

func (f finder) Runs(ctx context.Context, filter ports.RunFilter, look ports.Look) (ports.RunPage, error) {
	look = look.WithDefaults()
	st, err := f.t.read(ctx)
	if err != nil {
		return ports.RunPage{}, err
	}
	defer f.t.done()
	var page ports.RunPage
	var last ports.RunCursor // that was looked at
	lookedAt, files := 0, 0
	name := strings.ToLower(filter.FileName)
	for _, cursor := range slices.Backward(runs(f).order(st)) {
		if !inPlace(cursor, &filter) {
			continue
		}
		run := runs(f).row(st, cursor.ID)
		wanted := selected(&run, &filter)
		if wanted && name != "" {
			files += run.Tally.Total()
		}
		if lookedAt == look.Runs || files > look.Files && lookedAt > 0 {
			page.Next = last
			break
		}
		lookedAt++
		if wanted && f.hasFile(st, cursor.ID, name) {
			if len(page.Runs) == filter.Limit { // one more says that there is a next page
				at := page.Runs[filter.Limit-1]
				page.Next = ports.RunCursor{CreatedAt: at.CreatedAt, ID: at.ID}
				break
			}
			page.Runs = append(page.Runs, run)
		}
		last = cursor
	}
	return page, nil
}

// selected says what the filter says of the run's own row.
func selected(run *core.Run, filter *ports.RunFilter) bool {
	return (len(filter.Statuses) == 0 || slices.Contains(filter.Statuses, run.Status)) &&
		(filter.Template == "" || run.Template == filter.Template) &&
		(filter.CreatedBy == "" || run.CreatedBy.Subject == filter.CreatedBy)
}

// hasFile reports whether a file of the run has the part in its name, which is in
// small letters.
func (f finder) hasFile(st *tenantState, id core.RunID, part string) bool {
	if part == "" {
		return true
	}
	var s *runState
	if st != nil {
		s = f.t.committed(st, id)
	}
	w := f.t.written(id)
	for i := 0; ; i++ {
		row := insertedAt(s, w, i) // a name never changes
		if row == nil {
			return false
		}
		if strings.Contains(strings.ToLower(row.Name), part) {
			return true
		}
	}
}

func (f finder) RunsByID(ctx context.Context, ids []core.RunID) ([]core.Run, error) {
	var list []core.Run
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		run, err := runs(f).Get(ctx, id)
		if ignoreNotFound(err) != nil {
			return nil, err
		}
		if err == nil {
			list = append(list, run)
		}
	}
	return list, f.t.usable(ctx)
}

func (f finder) Entries(ctx context.Context, filter ports.EntryFilter, look ports.Look) (ports.EntryPage, error) {
	look = look.WithDefaults()
	st, err := f.t.read(ctx)
	if err != nil {
		return ports.EntryPage{}, err
	}
	defer f.t.done()
	var page ports.EntryPage
	entries := f.t.wrote.posted.entries
	if st != nil {
		entries = slices.Concat(st.entries, entries)
	}
	lookedAt, last := 0, int64(0)
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		if filter.Before > 0 && e.Seq >= filter.Before ||
			filter.Run != "" && e.Run != filter.Run || filter.Period != (core.Period{}) && e.Period != filter.Period {
			continue // stores have an index for these
		}
		if lookedAt++; lookedAt > look.Entries {
			page.Next = last
			break
		}
		if len(filter.Kinds) == 0 || slices.Contains(filter.Kinds, e.Kind) {
			if len(page.Entries) == filter.Limit {
				page.Next = page.Entries[filter.Limit-1].Seq
				break
			}
			page.Entries = append(page.Entries, *e)
		}
		last = e.Seq
	}
	return page, nil
}

// InterruptedRuns implements ports.Store.
func (s *Store) InterruptedRuns(_ context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	type closed struct {
		key ports.RunKey
		at  time.Time
	}
	var list []closed
	for tenant, st := range s.tenants {
		for id, r := range st.runs {
			if r.run.Status == core.RunInterrupted && r.run.Reason != core.ReasonCancelled && !r.run.ClosedAt.Before(since) {
				list = append(list, closed{ports.RunKey{Tenant: tenant, Run: id}, r.run.ClosedAt})
			}
		}
	}
	slices.SortFunc(list, func(a, b closed) int {
		return -cmp.Or(a.at.Compare(b.at), cmp.Compare(a.key.Run, b.key.Run))
	})
	keys := make([]ports.RunKey, 0, min(limit, len(list)))
	for _, c := range list[:cap(keys)] {
		keys = append(keys, c.key)
	}
	return keys, nil
}

func (f finder) Templates(ctx context.Context, filter ports.TemplateFilter) ([]core.Template, error) {
	list, err := f.t.Templates().List(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(t core.Template) bool {
		return t.ID <= filter.After || filter.Status != "" && t.Status != filter.Status ||
			filter.Deleted != nil && t.Deleted() != *filter.Deleted
	})
	return list[:min(len(list), max(filter.Limit, 0))], nil
}
