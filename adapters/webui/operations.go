package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Operations is the state of the server's own work, for platform admins.
type Operations struct {
	Running, Waiting, Unsaved int // jobs of this server
	Received, Settled         int64
	Breakers                  []Breaker
	// Queue counts the jobs in the queue, of all servers together if they share it.
	// QueueErr says why it is not known: ports.ErrUnknownDepth, if the queue cannot count.
	Queue    ports.QueueDepth
	QueueErr error
	// DeadLetters are messages that no server could read, the oldest first; LettersErr
	// says why they are not known.
	DeadLetters []DeadLetter
	LettersErr  error
}

// Breaker is the circuit breaker of a provider, as this server sees it.
type Breaker struct {
	Endpoint  string
	Open      bool // nothing is sent to the provider, except for a trial job
	DownSince time.Time
	Failures  int          // in a row
	Fault     core.Failure // the latest
	Ours      bool         // the operator has to fix the fault
	Templates []string     // the only templates that it is open for; empty: all
}

// DeadLetter is a message that no server could read.
type DeadLetter struct {
	ID     string
	At     time.Time
	Reason string
}

// ReadOperations reads the state of the server; it may take a query or two. Operations
// says what could not be read; the page shows the rest.
type ReadOperations func(ctx context.Context) Operations

const (
	// dueFor is how long recovery may be late before a run counts as stuck.
	dueFor = 2 * time.Minute
	// troubleSince is how far back the page lists interrupted runs.
	troubleSince = 7 * 24 * time.Hour
	troubleShown = 100
)

// operationsView is what needs an operator's attention.
type operationsView struct {
	Missing            *Notice // what is missing from the two lists; nil: nothing is
	Stuck, Interrupted []troubleRow
	More               bool
	Server             bool
	Queue, Jobs        []fact
	QueueUnknown       string // why there is no Queue
	QueueSilent        bool   // it should have answered
	LettersUnknown     bool
	Dead, Down         bool // there are dead letters; a breaker is open
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
	Fault string // in words
	Do    string // what helps
	For   string // the only templates that the breaker is open for
}

type letterRow struct {
	ID, Reason string
	At         Moment
}

// fine reports whether nothing needs attention.
func (v *operationsView) fine() bool {
	return v.Missing == nil && len(v.Stuck)+len(v.Interrupted)+len(v.Letters) == 0 && !v.Dead && !v.Down && !v.QueueSilent && !v.LettersUnknown
}

// operationsPage is GET /ui/operations.
func (u *ui) operationsPage(w http.ResponseWriter, r *request) error {
	trouble, err := u.svc.Trouble(r.Context(), r.actor(), dueFor, u.now().Add(-troubleSince), troubleShown)
	missing, err := u.missing(r, err)
	if err != nil {
		return err
	}
	v := operationsView{More: trouble.More, Missing: missing}
	for _, run := range trouble.Stuck {
		v.Stuck = append(v.Stuck, r.troubleRow(run, r.T("operations.stuck.since", r.Time(run.RecoverAt).Text)))
	}
	for _, run := range trouble.Interrupted {
		v.Interrupted = append(v.Interrupted, r.troubleRow(run, r.reason(run)))
	}
	if u.cfg.Operations != nil {
		o := u.cfg.Operations(r.Context())
		if err := errors.Join(o.QueueErr, o.LettersErr); err != nil && !errors.Is(err, ports.ErrUnknownDepth) {
			u.cfg.Log.WarnContext(r.Context(), "operators do not see all of the queue", "error", err)
		}
		r.server(o, &v)
		r.queue(o, &v)
	}
	v.Fine = v.fine()
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

// server adds the state of this server, in words.
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
			row.Fault, row.Do = r.fault(b)
			row.For = r.templates(b.Templates)
			v.Down = true
		}
		if b.Failures > 0 || !b.Open { // a fault of ours opens the breaker at once, without failures in a row
			row.Text = r.T("operations.failures", b.Failures)
		}
		v.Breakers = append(v.Breakers, row)
	}
}

// queue adds the counts of the queue, in words.
func (r *request) queue(o Operations, v *operationsView) {
	for _, l := range o.DeadLetters {
		v.Letters = append(v.Letters, letterRow{ID: visible(l.ID), Reason: visible(l.Reason), At: r.Time(l.At)})
	}
	v.LettersUnknown = o.LettersErr != nil
	switch {
	case errors.Is(o.QueueErr, ports.ErrUnknownDepth):
		v.QueueUnknown = r.T("operations.queue.untold")
		return
	case o.QueueErr != nil:
		v.QueueUnknown, v.QueueSilent = r.T("operations.queue.silent"), true
		return
	}
	oldest := fact{r.T("operations.queue.oldest"), "–"}
	if at := o.Queue.Oldest; !at.IsZero() {
		oldest.Value = r.Time(at).Text
	}
	v.Queue = []fact{
		{r.T("operations.queue.waiting"), r.count(o.Queue.Waiting)},
		oldest,
		{r.T("operations.queue.taken"), r.count(o.Queue.Taken)},
		{r.T("operations.queue.dead"), r.count(o.Queue.Dead)},
	}
	v.Dead = o.Queue.Dead.N > 0
}

// count writes a count, with "more than" if counting stopped at its bound.
func (r *request) count(c ports.Count) string {
	if c.More {
		return r.T("operations.queue.more", r.N(int64(c.N)))
	}
	return r.N(int64(c.N))
}

// templates names the first few templates that a breaker is open for.
func (r *request) templates(names []string) string {
	const most = 5
	if len(names) == 0 {
		return ""
	}
	shown := make([]string, 0, most+1)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, visible(name))
	}
	if len(names) > most {
		shown = append(shown, "…")
	}
	return r.T("operations.only", r.list(shown))
}

// fault says why a breaker is open, and what helps.
func (r *request) fault(b Breaker) (text, do string) {
	text = visible(b.Fault.Message)
	if key := "failure." + b.Fault.Code; r.Has(key) {
		text = r.T(key)
	}
	if !b.Ours {
		return text, r.T("operations.do.wait")
	}
	switch b.Fault.Code {
	case core.FailureUnauthorized:
		return text, r.T("operations.do.credential")
	case core.FailureQuota:
		return text, r.T("operations.do.quota")
	case core.FailureMisconfigured:
		return text, r.T("operations.do.address")
	case core.FailureRequestRefused:
		return text, r.T("operations.do.template")
	}
	return text, r.T("operations.do.look")
}
