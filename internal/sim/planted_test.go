package sim_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/world"
	"github.com/redrive/redrive/ports"
)

// planted are mistakes that a wrapper between the use cases and their ports can
// make. Each must be found and its token be shrunk.
var planted = []struct {
	name string
	wrap func() world.Wrap
}{
	{"run not locked", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) { tx.runs = func(r ports.Runs) ports.Runs { return unlockedRuns{r} } })
	}},
	{"run read before it is locked", racing},
	{"credits not locked", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.ledger = func(l ports.Ledger) ports.Ledger { return unlockedLedger{l} }
			tx.starts = func(s ports.Starts) ports.Starts { return unlockedStarts{s, tx.Tx} }
		})
	}},
	{"refund forgotten", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.ledger = func(l ports.Ledger) ports.Ledger {
				return changedLedger{l, func(e *core.Entry) bool { return e.Kind != core.EntryRefund }}
			}
		})
	}},
	{"refund of the monthly part alone", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.ledger = func(l ports.Ledger) ports.Ledger {
				return changedLedger{l, func(e *core.Entry) bool {
					if e.Kind == core.EntryRefund {
						e.Amount.Purchased = 0
					}
					return true
				}}
			}
		})
	}},
	{"refund to the new month", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.ledger = func(l ports.Ledger) ports.Ledger {
				return changedLedger{l, func(e *core.Entry) bool {
					if e.Kind == core.EntryRefund {
						e.Period = core.PeriodOf(e.At)
					}
					return true
				}}
			}
		})
	}},
	{"compensation under the old epoch", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.runs = func(r ports.Runs) ports.Runs {
				return changedRuns{r, func(run *core.Run) {
					if run.Status.Closed() && run.Dispatch != core.DispatchConfirmed && run.CompletedJobs == 0 {
						run.Epoch--
					}
				}}
			}
		})
	}},
	{"retryAttempt counted twice", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.runs = func(r ports.Runs) ports.Runs {
				return changedFiles{r, func(file *core.File) {
					if file.Status == core.FilePending && file.RetryAttempt == 1 {
						file.RetryAttempt++
					}
				}}
			}
		})
	}},
	{"attempt not marked compensated", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) { tx.attempts = func(a ports.Attempts) ports.Attempts { return unmarked{a} } })
	}},
	{"ambiguous commit run again", func() world.Wrap {
		return world.Wrap{Store: func(s ports.Store) ports.Store { return again{s} }}
	}},
	{"commit error swallowed", func() world.Wrap {
		return world.Wrap{Store: func(s ports.Store) ports.Store { return swallowing{s} }}
	}},
	{"jobs of the first epoch for ever", func() world.Wrap {
		return world.Wrap{Queue: func(q ports.Queue) ports.Queue { return firstEpoch{q} }}
	}},
	{"answers not remembered", func() world.Wrap {
		return wrapTx(func(tx *wrongTx) {
			tx.answers = func(a ports.Answers) ports.Answers { return forgetful{a} }
			tx.starts = func(s ports.Starts) ports.Starts { return forgetfulStarts{s} }
		})
	}},
}

// wrongTx is a transaction of which some accessors are wrong.
type wrongTx struct {
	ports.Tx
	runs     func(ports.Runs) ports.Runs
	attempts func(ports.Attempts) ports.Attempts
	ledger   func(ports.Ledger) ports.Ledger
	answers  func(ports.Answers) ports.Answers
	starts   func(ports.Starts) ports.Starts
}

func changed[P any](wrap func(P) P, p P) P {
	if wrap == nil {
		return p
	}
	return wrap(p)
}

func (t *wrongTx) Runs() ports.Runs         { return changed(t.runs, t.Tx.Runs()) }
func (t *wrongTx) Attempts() ports.Attempts { return changed(t.attempts, t.Tx.Attempts()) }
func (t *wrongTx) Ledger() ports.Ledger     { return changed(t.ledger, t.Tx.Ledger()) }
func (t *wrongTx) Answers() ports.Answers   { return changed(t.answers, t.Tx.Answers()) }
func (t *wrongTx) Starts() ports.Starts     { return changed(t.starts, t.Tx.Starts()) }

func wrapTx(spoil func(*wrongTx)) world.Wrap {
	return world.Wrap{Store: func(s ports.Store) ports.Store { return wrongStore{s, spoil} }}
}

type wrongStore struct {
	ports.Store
	spoil func(*wrongTx)
}

func (s wrongStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	return s.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		wrong := &wrongTx{Tx: tx}
		s.spoil(wrong)
		return fn(wrong)
	})
}

type unlockedRuns struct{ ports.Runs }

func (r unlockedRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	if !waitsForOne(wait, want) {
		return r.Runs.Lock(ctx, wait, want...)
	}
	run, err := r.Get(ctx, want[0].Run)
	return []ports.RunRows{{Run: run}}, err
}

// waitsForOne reports whether it is a use case's lock of one run.
func waitsForOne(wait ports.Wait, want []ports.FilesOf) bool {
	return wait == ports.WaitForLock && len(want) == 1 && len(want[0].Indexes) == 0
}

type changedRuns struct {
	ports.Runs
	change func(*core.Run)
}

func (r changedRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	rows = slices.Clone(rows)
	for i := range rows {
		if !rows[i].FilesOnly {
			r.change(&rows[i].Run)
		}
	}
	return r.Runs.Save(ctx, rows...)
}

type changedFiles struct {
	ports.Runs
	change func(*core.File)
}

func (r changedFiles) Save(ctx context.Context, rows ...ports.RunRows) error {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Files = slices.Clone(rows[i].Files)
		for j := range rows[i].Files {
			r.change(&rows[i].Files[j])
		}
	}
	return r.Runs.Save(ctx, rows...)
}

type unmarked struct{ ports.Attempts }

func (unmarked) MarkCompensated(context.Context, core.RunID, core.AttemptNumber, time.Time) error {
	return nil
}

type unlockedLedger struct{ ports.Ledger }

func (l unlockedLedger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	return l.Balance(ctx, p)
}

// unlockedStarts reads everything but takes no lock.
type unlockedStarts struct {
	ports.Starts
	tx ports.Tx
}

func (s unlockedStarts) Read(ctx context.Context, want ports.StartReads) (found ports.StartInputs, err error) {
	if found.Balance, err = s.tx.Ledger().Balance(ctx, want.Period); err != nil {
		return found, err
	}
	found.Files, found.Templates, found.Answers = map[core.RunID][]core.File{}, map[core.TemplateID]core.Template{}, map[core.Key]core.Answer{}
	for _, id := range want.Runs {
		if found.Files[id], err = s.tx.Files().InStatus(ctx, id, core.FileFailed, core.FilePending); err != nil {
			return found, err
		}
	}
	for _, id := range want.Templates {
		template, err := s.tx.Templates().Get(ctx, id)
		if err == nil {
			found.Templates[id] = template
		} else if !errors.Is(err, ports.ErrNotFound) {
			return found, err
		}
	}
	for _, key := range want.Keys {
		answer, err := s.tx.Answers().Get(ctx, key)
		if err == nil {
			found.Answers[key] = answer
		} else if !errors.Is(err, ports.ErrNotFound) {
			return found, err
		}
	}
	return found, nil
}

type changedLedger struct {
	ports.Ledger
	change func(*core.Entry) (post bool)
}

func (l changedLedger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	if !l.change(&e) {
		return e, nil
	}
	return l.Ledger.Post(ctx, e)
}

// forgetfulStarts writes what was decided and remembers no answer.
type forgetfulStarts struct{ ports.Starts }

func (f forgetfulStarts) Read(ctx context.Context, want ports.StartReads) (ports.StartInputs, error) {
	want.Keys = nil
	return f.Starts.Read(ctx, want)
}

func (f forgetfulStarts) Write(ctx context.Context, starts []ports.Start, _ []core.Answer) ([]core.Entry, error) {
	return f.Starts.Write(ctx, starts, nil)
}

type forgetful struct{ ports.Answers }

func (forgetful) Get(context.Context, core.Key) (core.Answer, error) {
	return core.Answer{}, ports.ErrNotFound
}

func (forgetful) Insert(context.Context, core.Answer) error { return nil }
func (forgetful) Save(context.Context, core.Answer) error   { return nil }

type again struct{ ports.Store }

func (s again) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	err := s.Store.InTx(ctx, tenant, fn)
	if errors.Is(err, ports.ErrCommitUnknown) {
		return s.Store.InTx(ctx, tenant, fn)
	}
	return err
}

type swallowing struct{ ports.Store }

func (s swallowing) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	err := s.Store.InTx(ctx, tenant, fn)
	if errors.Is(err, ports.ErrSerialization) {
		return nil
	}
	return err
}

type firstEpoch struct{ ports.Queue }

func (q firstEpoch) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	jobs = append([]core.Job(nil), jobs...)
	for i := range jobs {
		jobs[i].Epoch = 1
	}
	return q.Queue.Enqueue(ctx, jobs)
}

// racing reads the run before it locks it, as who looks first and locks then: the
// lock's order is right, and the decision is old.
func racing() world.Wrap {
	return wrapTx(func(tx *wrongTx) { tx.runs = func(r ports.Runs) ports.Runs { return staleRuns{r} } })
}

type staleRuns struct{ ports.Runs }

func (r staleRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	if !waitsForOne(wait, want) {
		return r.Runs.Lock(ctx, wait, want...)
	}
	before, err := r.Get(ctx, want[0].Run)
	if err != nil {
		return nil, err
	}
	_, err = r.Runs.Lock(ctx, wait, want...)
	return []ports.RunRows{{Run: before}}, err
}
