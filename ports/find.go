package ports

import (
	"context"

	"github.com/redrive/redrive/core"
)

// Finder is for people who look for something among a tenant's runs and entries.
// What one answer reads is bounded, however long the history is.
type Finder interface {
	// Runs gives the runs that the filter selects, newest first. It goes through the
	// runs from filter.Before on and stops at filter.Limit, or when it has looked at
	// look.Runs runs, or before it would have looked at more than look.Files files for
	// a name (the first run is looked at, however large). RunPage.Next says where to go on.
	Runs(ctx context.Context, filter RunFilter, look Look) (RunPage, error)
	// RunsByID reads those of these runs that exist, in any order, each once.
	RunsByID(ctx context.Context, ids []core.RunID) ([]core.Run, error)
	// Entries gives the ledger's entries that the filter selects, the latest first.
	// It stops at filter.Limit, or when it has looked at look.Entries entries.
	Entries(ctx context.Context, filter EntryFilter, look Look) (EntryPage, error)
	// Templates gives the templates that the filter selects, ascending by ID.
	Templates(ctx context.Context, filter TemplateFilter) ([]core.Template, error)
}

// TemplateFilter selects a page of a tenant's templates. A zero field leaves nothing out.
type TemplateFilter struct {
	After   core.TemplateID // those with a higher ID
	Status  core.TemplateStatus
	Deleted *bool // only those that are soft-deleted, or only those that are not
	Limit   int   // 1 or more
}

// Look bounds what one answer of a Finder reads. A zero field means its default.
type Look struct {
	Runs    int // default 5,000
	Files   int // default 100,000: the names of ten of the largest runs
	Entries int // default 10,000
}

// WithDefaults gives the bounds in force.
func (l Look) WithDefaults() Look {
	if l.Runs <= 0 {
		l.Runs = 5_000
	}
	if l.Files <= 0 {
		l.Files = 100_000
	}
	if l.Entries <= 0 {
		l.Entries = 10_000
	}
	return l
}

// RunPage is a page of what was found.
type RunPage struct {
	Runs []core.Run
	// Next is the Before of the next page; zero if there is nothing more to look at.
	// Where a bound ended the search it is set although Runs has few, or none.
	Next RunCursor
}

// EntryFilter selects a page of a tenant's ledger. A zero field leaves nothing out.
type EntryFilter struct {
	Kinds  []core.EntryKind // any of these
	Period core.Period
	Run    core.RunID
	Before int64 // entries with a lower Seq; 0: from the latest
	Limit  int   // 1 or more
}

// EntryPage is a page of the ledger, the latest entry first.
type EntryPage struct {
	Entries []core.Entry
	// Next is the Before of the next page; 0 if there is nothing more to look at.
	Next int64
}
