package world

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// History is what happened to a run before the world began: how its files ended in
// each attempt, the initiation first. A file that is pending was cancelled. Empty:
// the run is yet to be initiated.
//
// A file that is Interrupted was worked on, and a fault of the service's ended that.
type History [][]core.FileStatus

// Interrupted is how a file of a History can end besides the statuses of files.
const Interrupted core.FileStatus = "interrupted"

// past adds the runs of a tenant that were closed before the world began. What they
// cost is on top of the tenant's credits.
func (w *World) history(tenant int) error {
	for slot := range w.sc.Runs {
		spec := &w.sc.Runs[slot]
		if len(spec.History) == 0 || w.sc.Templates[spec.Template].Tenant != tenant {
			continue
		}
		story := w.tell(slot, w.contents.Balance)
		w.contents.Runs = append(w.contents.Runs, memory.RunContents{Run: story.run, Files: story.files, Attempts: story.attempts})
		for _, e := range story.entries {
			if err := w.setUpEntry(e, nil); err != nil {
				return err
			}
		}
		w.slots[slot].id, w.slots[slot].known = story.run.ID, true
	}
	return nil
}

// cost is the most that a tenant's past can have cost.
func (s *Scenario) cost(tenant int) (total core.Credits) {
	for i := range s.Runs {
		if t := &s.Templates[s.Runs[i].Template]; t.Tenant == tenant {
			total += t.Price * core.Credits(s.Runs[i].Files*len(s.Runs[i].History))
		}
	}
	return total
}

// story is what a past has left behind. Its memory is used again.
type story struct {
	model    model.Run
	account  model.Account
	run      core.Run
	files    []core.File
	attempts []core.Attempt
	records  []core.AttemptFile // of all attempts
	entries  []core.Entry
}

// historyIDs are the IDs of runs that were closed before the world began.
var historyIDs = [...]core.RunID{"past-0", "past-1", "past-2", "past-3", "past-4", "past-5", "past-6", "past-7"}

// pastCharges are the keys of what they cost, by the number of the attempt.
var pastCharges = func() (keys [len(historyIDs)][4]core.Key) {
	for slot, id := range historyIDs {
		for n := range keys[slot] {
			keys[slot][n] = core.ChargeKey(id, core.AttemptNumber(n))
		}
	}
	return keys
}()

// tell writes a past by the model: the rules of core are to be judged, and a world that
// begins with their mistakes would show them in the wrong place.
func (w *World) tell(slot int, balance core.Balance) *story {
	spec, now := &w.sc.Runs[slot], w.sc.Start
	template := w.template(spec.Template)
	s := &w.stories[slot]
	s.files, s.attempts, s.records, s.entries = s.files[:0], s.attempts[:0], s.records[:0], s.entries[:0]
	s.account.Reset()
	s.account.Add(balance.Split, balance.Period)
	m := &s.model
	m.Reset(historyIDs[slot], template.Mode == core.ModeBatch)
	for n, ends := range spec.History {
		q := model.Quote{Failed: spec.Files}
		if n > 0 {
			q = m.Quote(template.CreditsPerRun)
		}
		if q.Failed+q.Pending == 0 {
			break
		}
		charge := s.account.Split(template.CreditsPerRun*core.Credits(q.Failed), balance.Period)
		s.account.Add(core.Split{Monthly: -charge.Monthly, Purchased: -charge.Purchased}, balance.Period)
		start := model.Start{Price: template.CreditsPerRun, Charge: charge, Period: balance.Period, Epoch: m.Epoch + 1}
		if n == 0 {
			m.Initiate(illegal, spec.Files, spec.MaxRetryCount, template.Version, start)
		} else {
			m.Continue(illegal, start)
		}
		end(m, ends)
	}
	s.run = core.Run{
		ID: m.ID, Tenant: template.Tenant, Template: template.ID, Mode: template.Mode, CreatedBy: admin(template.Tenant),
		CreatedAt: now, ClosedAt: now, Dispatch: core.DispatchUnconfirmed, DispatchedAt: now,
	}
	for i, f := range newFiles[:spec.Files] {
		s.files = append(s.files, core.File{Index: i, Name: f.Name, Ref: f.Ref, Size: f.Size})
	}
	m.Write(&s.run, s.files)
	if m.Latest().Claimed {
		s.run.Dispatch = core.DispatchConfirmed
	}
	if m.Number() > 0 {
		s.run.LastRetriedAt = now
	}
	s.run.Failure.Message = pastMessage(s.run.Failure.Code)
	for i := range s.files {
		f := &s.files[i]
		f.Failure.Message = pastMessage(f.Failure.Code)
		if f.Status == core.FileCompleted {
			f.Output = "done"
		}
	}
	for n := range m.Attempts {
		s.attempt(slot, core.AttemptNumber(n), now)
	}
	return s
}

// attempt writes an attempt and its charge.
func (s *story) attempt(slot int, n core.AttemptNumber, now time.Time) {
	a := core.Attempt{Tenant: s.run.Tenant, RequestedBy: s.run.CreatedBy, RequestedAt: now}
	s.records = s.model.WriteAttempt(n, &a, s.records)
	for i := range a.Files {
		a.Files[i].Before.Failure.Message = pastMessage(a.Files[i].Before.Failure.Code)
	}
	a.Before.Failure.Message = pastMessage(a.Before.Failure.Code)
	if n > 0 {
		a.Before.ClosedAt = now
	}
	if n > 1 {
		a.Before.LastRetriedAt = now
	}
	if a.Charge.Amount == (core.Split{}) {
		a.Charge = core.Charge{}
	} else {
		a.Charge.Key = pastCharges[slot][n]
		s.entries = append(s.entries, core.Entry{
			Tenant: s.run.Tenant, Key: a.Charge.Key, Kind: core.EntryCharge, Period: a.Charge.Period, Amount: a.Charge.Amount,
			Run: s.run.ID, Attempt: n, Actor: s.run.CreatedBy, At: now,
		})
	}
	s.attempts = append(s.attempts, a)
}

// end lets the files of the attempt end; if a job was never claimed, the run is
// cancelled. A batch job is claimed with all its files or not at all.
func end(m *model.Run, ends []core.FileStatus) {
	unclaimed := false
	for i := range m.Files {
		unclaimed = unclaimed || m.Files[i].Status == core.FilePending && ends[i] == core.FilePending
	}
	epoch := m.Epoch
	for i := range m.Files {
		if f := &m.Files[i]; f.Status != core.FilePending || ends[i] == core.FilePending || m.Batch && unclaimed {
			continue
		}
		m.Claim(illegal, i, epoch)
		switch ends[i] {
		case Interrupted:
			m.Interrupt(illegal, i, m.Epoch+1, core.FailureUnauthorized)
			m.Epoch++
		case core.FileCompleted:
			m.Record(illegal, i, ends[i], epoch, "")
		default:
			m.Record(illegal, i, ends[i], epoch, "simulated")
		}
	}
	if unclaimed {
		m.Break(illegal, core.ReasonCancelled, "")
		m.Epoch++
		return
	}
	if m.Batch {
		m.CountBatch(illegal, epoch, true)
	}
	m.Close(illegal)
}

// pastMessage says why something failed.
func pastMessage(code string) string {
	if code == "" {
		return ""
	}
	return "it was so in its history"
}

// illegal is what the model says of a history that could not have been.
func illegal(rule model.Rule, format string, args ...any) {
	panic(fmt.Sprintf("a history that could not have been: %s: ", rule) + fmt.Sprintf(format, args...))
}
