package webui

import (
	"context"
	"net/http"
	"time"

	"github.com/redrive/redrive/core"
)

// Operations is what the server knows of its own work, for platform admins.
type Operations struct {
	Running, Waiting, Unsaved int // jobs of this server
	Received, Settled         int64
	Breakers                  []Breaker
	// DeadLetters are messages that no server could read, the oldest first.
	DeadLetters []DeadLetter
}

// Breaker is a provider that this server stopped asking, or asks.
type Breaker struct {
	Endpoint  string
	Open      bool // nothing is sent to it
	DownSince time.Time
	Failures  int // in a row
}

// DeadLetter is a message that no server could read.
type DeadLetter struct {
	ID     string
	At     time.Time
	Reason string
}

// ReadOperations asks the server; it may take a query or two.
type ReadOperations func(ctx context.Context) (Operations, error)

const (
	// dueFor is how long recovery may be late before a run counts as stuck.
	dueFor = 2 * time.Minute
	// troubleSince is how far back interrupted runs are listed.
	troubleSince = 7 * 24 * time.Hour
	troubleShown = 100
)

// operationsView is what an operator has to look at.
type operationsView struct {
	Stuck, Interrupted []troubleRow
	More               bool
	Server             bool
	Jobs               []fact
	Breakers           []breakerRow
	Letters            []letterRow
	Fine               bool
}

type troubleRow struct {
	URL, ID, Tenant, Why string
	Badge                Badge
	At                   Moment
}

type breakerRow struct {
	Name  string
	Badge Badge
	Since Moment
	Text  string
}

type letterRow struct {
	ID, Reason string
	At         Moment
}

// operationsPage is GET /ui/operations.
func (u *ui) operationsPage(w http.ResponseWriter, r *request) error {
	trouble, err := u.svc.Trouble(r.Context(), r.actor(), dueFor, u.now().Add(-troubleSince), troubleShown)
	if err != nil {
		return err
	}
	v := operationsView{More: trouble.More}
	for _, run := range trouble.Stuck {
		v.Stuck = append(v.Stuck, r.troubleRow(run, r.T("operations.stuck.since", r.Time(run.RecoverAt).Text)))
	}
	for _, run := range trouble.Interrupted {
		v.Interrupted = append(v.Interrupted, r.troubleRow(run, r.reason(run)))
	}
	if u.cfg.Operations != nil {
		o, err := u.cfg.Operations(r.Context())
		if err != nil {
			return err
		}
		r.server(o, &v)
	}
	v.Fine = len(v.Stuck)+len(v.Interrupted)+len(v.Letters) == 0
	return u.render(w, r, http.StatusOK, "operations.html", page{Title: r.T("operations.title"), Nav: "operations", Poll: 5, Data: v})
}

func (r *request) troubleRow(run core.Run, why string) troubleRow {
	at := run.ClosedAt
	if at.IsZero() {
		at = run.CreatedAt
	}
	return troubleRow{
		URL: addr("runs", string(run.ID)), ID: string(run.ID), Tenant: string(run.Tenant), Why: why,
		Badge: r.runBadge(run.Status), At: r.Time(at),
	}
}

// server puts into words what the server says of itself.
func (r *request) server(o Operations, v *operationsView) {
	v.Server = true
	v.Jobs = []fact{
		{r.T("operations.running"), r.N(int64(o.Running))},
		{r.T("operations.waiting"), r.N(int64(o.Waiting))},
		{r.T("operations.unsaved"), r.N(int64(o.Unsaved))},
		{r.T("operations.received"), r.N(o.Received)},
		{r.T("operations.settled"), r.N(o.Settled)},
	}
	for _, b := range o.Breakers {
		row := breakerRow{Name: visible(b.Endpoint), Badge: Badge{Text: r.T("operations.up"), Tone: ToneGood}, Since: r.Time(b.DownSince)}
		if b.Open {
			row.Badge = Badge{Text: r.T("operations.down"), Tone: ToneBad}
		}
		row.Text = r.T("operations.failures", b.Failures)
		v.Breakers = append(v.Breakers, row)
	}
	for _, l := range o.DeadLetters {
		v.Letters = append(v.Letters, letterRow{ID: visible(l.ID), Reason: visible(l.Reason), At: r.Time(l.At)})
	}
}
