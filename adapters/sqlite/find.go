package sqlite

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func (t *tx) Find() ports.Finder { return finder{t} }

type finder struct{ t *tx }

// A search begins with few runs, which is enough if what is looked for is common, and
// looks at four times as many each time.
const (
	firstLook = 128
	lookMore  = 4
)

// Runs has no index for what it looks for: one on the template and one on the subject
// would be written with every change of a run's status, and one on parts of names with
// every file, for all tenants together. The bound makes the search cheap instead.
func (f finder) Runs(ctx context.Context, filter ports.RunFilter, look ports.Look) (ports.RunPage, error) {
	look = look.WithDefaults()
	if !filter.Searches() {
		return f.listed(ctx, &filter)
	}
	s := search{filter: filter, look: look, left: look.Runs}
	for more := firstLook; !s.over; more *= lookMore {
		n := min(more, s.left)
		candidates, err := f.candidates(ctx, &s.filter, n)
		if err != nil {
			return ports.RunPage{}, err
		}
		s.lookAt(candidates, n)
		named := s.wanted
		if filter.FileName != "" {
			if named, err = f.named(ctx, s.wanted, filter.FileName, filter.Limit+1-len(s.found)); err != nil {
				return ports.RunPage{}, err
			}
		}
		s.found = append(s.found, named...)
		if len(s.found) > filter.Limit {
			s.found, s.over = s.found[:filter.Limit], true
			s.next = s.found[filter.Limit-1].RunCursor
		}
	}
	list, err := f.inOrder(ctx, s.found)
	return ports.RunPage{Runs: list, Next: s.next}, err
}

// listed is a page that needs no search: one run more says that there is a next page.
func (f finder) listed(ctx context.Context, filter *ports.RunFilter) (ports.RunPage, error) {
	sql, args := listRuns(f.t.tenant, filter, filter.Limit+1)
	list, err := all(ctx, f.t, ofRuns, scanRun, sql, args...)
	page := ports.RunPage{Runs: list}
	if len(list) > filter.Limit {
		page.Runs = list[:filter.Limit]
		last := list[filter.Limit-1]
		page.Next = ports.RunCursor{CreatedAt: last.CreatedAt, ID: last.ID}
	}
	return page, err
}

// search is how far a search has come.
type search struct {
	filter ports.RunFilter // Before moves on
	look   ports.Look
	left   int // runs that may still be looked at
	files  int // whose names were looked at
	wanted []candidate
	found  []candidate
	over   bool
	next   ports.RunCursor
}

// candidate is what a search reads of a run.
type candidate struct {
	ports.RunCursor
	files  int
	wanted bool // by its own row
}

// lookAt takes the next n runs, or fewer if there are no more, and leaves those of
// them in wanted whose files' names are to be looked at.
func (s *search) lookAt(list []candidate, n int) {
	s.wanted = nil
	for _, c := range list {
		if c.wanted && s.filter.FileName != "" {
			if s.files += c.files; s.files > s.look.Files && s.left < s.look.Runs {
				s.over, s.next = true, s.filter.Before
				return
			}
		}
		s.left--
		s.filter.Before = c.RunCursor
		if c.wanted {
			s.wanted = append(s.wanted, c)
		}
	}
	switch {
	case len(list) < n:
		s.over = true
	case s.left == 0:
		s.over, s.next = true, s.filter.Before
	}
}

// candidates reads the next n runs by their place alone, or by place and status if
// it is one status that is asked for.
func (f finder) candidates(ctx context.Context, filter *ports.RunFilter, n int) ([]candidate, error) {
	place, args := placeOf(filter, []any{f.t.tenant, n})
	place += oneStatus(filter, &args)
	wanted := []string{`true`}
	and := func(condition string, value any) {
		args = append(args, value)
		wanted = append(wanted, strings.Replace(condition, "?", "?"+strconv.Itoa(len(args)), 1))
	}
	if len(filter.Statuses) > 1 {
		and(`status IN (SELECT value FROM json_each(?))`, jsonWords(filter.Statuses))
	}
	if filter.Template != "" {
		and(`template_id = ?`, findable(filter.Template))
	}
	if filter.CreatedBy != "" {
		and(`created_by_subject = ?`, text(filter.CreatedBy))
	}
	sql := `SELECT created_at, run_id, file_count, ` + strings.Join(wanted, ` AND `) + ` FROM runs WHERE tenant_id = ?1` + place +
		` ORDER BY created_at DESC, run_id DESC LIMIT ?2`
	return all(ctx, f.t, ofRuns, func(r *row) candidate {
		return candidate{RunCursor: ports.RunCursor{CreatedAt: r.time(), ID: core.RunID(r.text())}, files: r.int(), wanted: r.number() != 0}
	}, sql, args...)
}

func oneStatus(filter *ports.RunFilter, args *[]any) string {
	if len(filter.Statuses) != 1 {
		return ""
	}
	*args = append(*args, filter.Statuses[0])
	return ` AND status = $` + strconv.Itoa(len(*args))
}

// named gives the first of these runs, in their order and at most limit, that have a
// file with this part in its name. Each run's files are looked through by the key, up
// to the first that has it.
func (f finder) named(ctx context.Context, list []candidate, part string, limit int) ([]candidate, error) {
	const sql = `
SELECT w.key FROM json_each(?2) w
 WHERE EXISTS (SELECT 1 FROM files f WHERE f.tenant_id = ?1 AND f.run_id = w.value AND instr(redrive_lower(f.name), ?3) > 0)
 ORDER BY w.key LIMIT ?4`
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]core.RunID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	places, err := all(ctx, f.t, ofFiles, func(r *row) int { return r.int() }, sql, f.t.tenant, jsonWords(ids), strings.ToLower(text(part)), limit)
	if err != nil {
		return nil, err
	}
	named := make([]candidate, len(places))
	for i, place := range places {
		named[i] = list[place]
	}
	return named, nil
}

func (f finder) inOrder(ctx context.Context, found []candidate) ([]core.Run, error) {
	if len(found) == 0 {
		return nil, nil
	}
	ids := make([]core.RunID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	list, err := f.RunsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[core.RunID]core.Run, len(list))
	for i := range list {
		byID[list[i].ID] = list[i]
	}
	list = list[:0]
	for _, id := range ids {
		if run, ok := byID[id]; ok { // runs are never removed
			list = append(list, run)
		}
	}
	return list, nil
}

func (f finder) RunsByID(ctx context.Context, ids []core.RunID) ([]core.Run, error) {
	const sql = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = ? AND run_id IN (SELECT value FROM json_each(?))`
	if len(ids) == 0 {
		return nil, f.t.usable(ctx)
	}
	return all(ctx, f.t, ofRuns, scanRun, sql, f.t.tenant, jsonWords(ids))
}

// Entries of a run are found by the keys of its attempts' charges: there are few of
// them, and no index has the run.
func (f finder) Entries(ctx context.Context, filter ports.EntryFilter, look ports.Look) (ports.EntryPage, error) {
	look = look.WithDefaults()
	args := []any{f.t.tenant}
	arg := func(v any) string {
		args = append(args, v)
		return `?` + strconv.Itoa(len(args))
	}
	from, with := `ledger`, ``
	if filter.Run != "" {
		keys, err := all(ctx, f.t, ofAttempts, func(r *row) string { return r.text() },
			`SELECT charge_key FROM attempts WHERE tenant_id = ? AND run_id = ? AND charge_key IS NOT NULL`, f.t.tenant, findable(filter.Run))
		if err != nil {
			return ports.EntryPage{}, err
		}
		list := arg(jsonWords(keys))
		from = `of_run`
		with = `WITH of_run AS MATERIALIZED (
 SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = ?1 AND key IN (SELECT value FROM json_each(` + list + `))
 UNION ALL SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = ?1 AND charge_key IN (SELECT value FROM json_each(` + list + `))) `
	}
	where := ` WHERE tenant_id = ?1`
	if filter.Period != (core.Period{}) {
		where += ` AND period = ` + arg(filter.Period.String())
	}
	if filter.Before > 0 {
		where += ` AND seq < ` + arg(filter.Before)
	}
	looked := `SELECT %s FROM ` + from + where + ` ORDER BY seq DESC`
	last := append([]any{}, args...) // the arguments of the question where the look ended
	kinds := `1`
	if len(filter.Kinds) > 0 {
		kinds = `kind IN (SELECT value FROM json_each(` + arg(jsonWords(filter.Kinds)) + `))`
	}
	sql := with + `SELECT ` + entryColumns + ` FROM (` + strings.Replace(looked, `%s`, entryColumns, 1) + ` LIMIT ` + arg(look.Entries) + `) l WHERE ` +
		kinds + ` ORDER BY seq DESC LIMIT ` + arg(filter.Limit+1)
	list, err := all(ctx, f.t, ofLedger|ofAttempts, scanEntry, sql, args...)
	if err != nil {
		return ports.EntryPage{}, err
	}
	if len(list) > filter.Limit {
		return ports.EntryPage{Entries: list[:filter.Limit], Next: list[filter.Limit-1].Seq}, nil
	}
	args = last
	ended, err := all(ctx, f.t, ofLedger|ofAttempts, func(r *row) int64 { return r.number() },
		with+strings.Replace(looked, `%s`, `seq`, 1)+` LIMIT 2 OFFSET `+arg(look.Entries-1), args...)
	page := ports.EntryPage{Entries: list}
	if len(ended) == 2 { // there is something after where it ended
		page.Next = ended[0]
	}
	return page, err
}

// InterruptedRuns implements ports.Store.
func (s *Store) InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	const sql = `
SELECT tenant_id, run_id FROM runs
 WHERE status = 'INTERRUPTED' AND reason <> 'cancelled' AND closed_at >= ?
 ORDER BY closed_at DESC, run_id DESC LIMIT ?`
	return list(ctx, s, scanRunKey, sql, since, max(limit, 0))
}

func (f finder) Templates(ctx context.Context, filter ports.TemplateFilter) ([]core.Template, error) {
	const sql = `
SELECT ` + templateColumns + ` FROM templates
 WHERE tenant_id = ?1 AND template_id > ?2 AND (?3 = '' OR status = ?3) AND (?4 < 0 OR (deleted_at IS NOT NULL) = ?4)
 ORDER BY template_id LIMIT ?5`
	deleted := -1 // either
	if filter.Deleted != nil {
		deleted = 0
		if *filter.Deleted {
			deleted = 1
		}
	}
	return all(ctx, f.t, ofTemplates, scanTemplate, sql, f.t.tenant, findable(filter.After), findable(filter.Status), deleted, max(filter.Limit, 0))
}
