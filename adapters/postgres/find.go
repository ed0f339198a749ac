package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	list, err := all(ctx, f.t, scanRun, sql, planned(args)...)
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
		wanted = append(wanted, strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1))
	}
	if len(filter.Statuses) > 1 {
		and(`status = ANY (?)`, filter.Statuses)
	}
	if filter.Template != "" {
		and(`template_id = ?`, findable(filter.Template))
	}
	if filter.CreatedBy != "" {
		and(`created_by_subject = ?`, text(filter.CreatedBy))
	}
	sql := `SELECT created_at, run_id, file_count, ` + strings.Join(wanted, ` AND `) + ` FROM runs WHERE tenant_id = $1` + place +
		` ORDER BY created_at DESC, run_id DESC LIMIT $2`
	return all(ctx, f.t, func(row pgx.CollectableRow) (c candidate, err error) {
		err = row.Scan(&c.CreatedAt, &c.ID, &c.files, &c.wanted)
		c.CreatedAt = c.CreatedAt.UTC()
		return c, err
	}, sql, planned(args)...)
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
// to the first that has it: as a scalar subquery Postgres cannot turn it into a join
// that reads all the tenant's files. (ILIKE takes twice as long.)
func (f finder) named(ctx context.Context, list []candidate, part string, limit int) ([]candidate, error) {
	const sql = `
SELECT w.place FROM unnest($2::text[]) WITH ORDINALITY AS w (run_id, place)
 WHERE (SELECT true FROM files f WHERE f.tenant_id = $1 AND f.run_id = w.run_id AND strpos(lower(f.name), lower($3)) > 0 LIMIT 1)
 ORDER BY w.place LIMIT $4`
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = string(list[i].ID)
	}
	places, err := all(ctx, f.t, pgx.RowTo[int64], sql, f.t.tenant, ids, text(part), limit)
	if err != nil {
		return nil, err
	}
	named := make([]candidate, len(places))
	for i, place := range places {
		named[i] = list[place-1]
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
	const sql = `SELECT ` + runColumns + ` FROM runs WHERE tenant_id = $1 AND run_id = ANY ($2)`
	if len(ids) == 0 {
		return nil, nil
	}
	return all(ctx, f.t, scanRun, sql, f.t.tenant, findableTexts(ids))
}

// Entries of a run are found by the keys of its attempts' charges: there are few of
// them, and no index has the run.
func (f finder) Entries(ctx context.Context, filter ports.EntryFilter, look ports.Look) (ports.EntryPage, error) {
	look = look.WithDefaults()
	args := []any{f.t.tenant}
	arg := func(v any) string {
		args = append(args, v)
		return `$` + strconv.Itoa(len(args))
	}
	from, with := `ledger`, ``
	if filter.Run != "" {
		keys, err := all(ctx, f.t, pgx.RowTo[string],
			`SELECT charge_key FROM attempts WHERE tenant_id = $1 AND run_id = $2 AND charge_key IS NOT NULL`, f.t.tenant, findable(filter.Run))
		if err != nil {
			return ports.EntryPage{}, err
		}
		from = `of_run`
		with = `WITH of_run AS MATERIALIZED (
 SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = $1 AND key = ANY (` + arg(keys) + `)
 UNION ALL SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = $1 AND charge_key = ANY (` + arg(keys) + `)) `
	}
	where := ` WHERE tenant_id = $1`
	if filter.Period != (core.Period{}) {
		where += ` AND period = ` + arg(filter.Period.String())
	}
	if filter.Before > 0 {
		where += ` AND seq < ` + arg(filter.Before)
	}
	looked := with + `SELECT %s FROM ` + from + where + ` ORDER BY seq DESC`
	last := append([]any{}, args...) // the arguments of the question where the look ended
	kinds := `true`
	if len(filter.Kinds) > 0 {
		kinds = `kind = ANY (` + arg(filter.Kinds) + `)`
	}
	sql := `SELECT ` + entryColumns + ` FROM (` + strings.Replace(looked, `%s`, entryColumns, 1) + ` LIMIT ` + arg(look.Entries) + `) l WHERE ` +
		kinds + ` ORDER BY seq DESC LIMIT ` + arg(filter.Limit+1)
	list, err := all(ctx, f.t, scanEntry, sql, args...)
	if err != nil {
		return ports.EntryPage{}, err
	}
	if len(list) > filter.Limit {
		return ports.EntryPage{Entries: list[:filter.Limit], Next: list[filter.Limit-1].Seq}, nil
	}
	args = last
	ended, err := all(ctx, f.t, pgx.RowTo[int64], `SELECT seq FROM (`+strings.Replace(looked, `%s`, `seq`, 1)+
		` OFFSET `+arg(look.Entries-1)+` LIMIT 2) l ORDER BY seq DESC`, args...)
	page := ports.EntryPage{Entries: list}
	if len(ended) == 2 { // there is something after where it ended
		page.Next = ended[0]
	}
	return page, err
}

// InterruptedRuns implements ports.Store.
func (s *Store) InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	return across(ctx, s, scanRunKey, func(and string) string {
		return `
SELECT tenant_id, run_id FROM runs
 WHERE status = 'INTERRUPTED' AND reason <> 'cancelled' AND closed_at >= $1` + of(and, "runs") + `
 ORDER BY closed_at DESC, run_id DESC LIMIT $2`
	}, since, limit)
}

func (f finder) PurchasedAfter(ctx context.Context, p core.Period) (core.Credits, error) {
	const sql = `
SELECT coalesce(sum(CASE kind WHEN 'charge' THEN -purchased ELSE purchased END), 0)::bigint
  FROM ledger WHERE tenant_id = $1 AND period > $2`
	return one(ctx, f.t, pgx.RowTo[core.Credits], sql, f.t.tenant, p.String())
}

func (f finder) Templates(ctx context.Context, filter ports.TemplateFilter) ([]core.Template, error) {
	const sql = `
SELECT ` + templateColumns + ` FROM templates
 WHERE tenant_id = $1 AND template_id > $2 AND ($3 = '' OR status = $3) AND ($4::boolean IS NULL OR (deleted_at IS NOT NULL) = $4)
 ORDER BY template_id LIMIT $5`
	return all(ctx, f.t, scanTemplate, sql, f.t.tenant, findable(filter.After), findable(filter.Status), filter.Deleted, max(filter.Limit, 0))
}
