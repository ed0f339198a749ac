package world

import (
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
)

// Past is what happened to a run before the world began: how its files ended in
// each attempt, the initiation first. A file that is pending was cancelled. Empty:
// the run is yet to be initiated.
//
// A file that is Interrupted was worked on, and a fault of the service's ended that.
type Past [][]core.FileStatus

// Interrupted is how a file of a Past can end besides the statuses of files.
const Interrupted core.FileStatus = "interrupted"

// past adds the runs of a tenant that were closed before the world began. What they
// cost is on top of the tenant's credits.
func (w *World) past(tenant int) error {
	for slot := range w.sc.Runs {
		spec := &w.sc.Runs[slot]
		if len(spec.Past) == 0 || w.sc.Templates[spec.Template].Tenant != tenant {
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
			total += t.Price * core.Credits(s.Runs[i].Files*len(s.Runs[i].Past))
		}
	}
	return total
}

// story is what a past has left behind. Its memory is used again.
type story struct {
	run      core.Run
	files    []core.File
	attempts []core.Attempt
	records  []core.AttemptFile // of all attempts
	entries  []core.Entry
}

// pastIDs are the IDs of runs that were closed before the world began.
var pastIDs = [...]core.RunID{"past-0", "past-1", "past-2", "past-3", "past-4", "past-5", "past-6", "past-7"}

// pastCharges are the keys of what they cost, by the number of the attempt.
var pastCharges = func() (keys [len(pastIDs)][4]core.Key) {
	for slot, id := range pastIDs {
		for n := range keys[slot] {
			keys[slot][n] = core.ChargeKey(id, core.AttemptNumber(n))
		}
	}
	return keys
}()

// tell writes a past by rules of its own: those of core are to be judged, and a
// world that begins with their mistakes would show them in the wrong place.
func (w *World) tell(slot int, balance core.Balance) *story {
	spec, now := &w.sc.Runs[slot], w.sc.Start
	template := w.template(spec.Template)
	s := &w.stories[slot]
	*s = story{files: s.files[:0], attempts: s.attempts[:0], records: s.records[:0], entries: s.entries[:0], run: core.Run{
		ID: pastIDs[slot], Tenant: template.Tenant, Template: template.ID, TemplateVersion: template.Version, Mode: template.Mode,
		CreatedBy: admin(template.Tenant), CreatedAt: now, MaxRetryCount: spec.MaxRetryCount, TotalJobs: spec.Files,
	}}
	if template.Mode == core.ModeBatch {
		s.run.TotalJobs = 1
	}
	for i, f := range newFiles[:spec.Files] {
		s.files = append(s.files, core.File{Index: i, Name: f.Name, Ref: f.Ref, Size: f.Size})
	}
	for n, ends := range spec.Past {
		if !s.begin(core.AttemptNumber(n), template.CreditsPerRun, &balance, pastCharges[slot][n], now) {
			break
		}
		s.end(ends, now)
	}
	return s
}

// begin is an initiation, or a Continue; false if there is nothing to retry.
func (s *story) begin(n core.AttemptNumber, price core.Credits, balance *core.Balance, charge core.Key, now time.Time) bool {
	a := core.Attempt{
		Tenant: s.run.Tenant, Run: s.run.ID, Number: n, Price: price,
		RequestedBy: s.run.CreatedBy, RequestedAt: now,
	}
	r := &s.run
	if n > 0 {
		a.Before = core.RunBefore{
			Status: r.Status, Reason: r.Reason, Failure: r.Failure, ClosedAt: r.ClosedAt, LastRetriedAt: r.LastRetriedAt,
			AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
		}
	}
	var total core.Credits
	before := len(s.records)
	for i := range s.files {
		f := &s.files[i]
		if f.Status == core.FileCompleted || f.Status == core.FileError {
			continue
		}
		if f.Status != core.FilePending { // failed, or new
			total += price
			f.PaidBy = n
		}
		record := core.AttemptFile{Index: i, Charged: f.Status != core.FilePending && price > 0}
		if n > 0 {
			record.Before = core.FileBefore{Status: f.Status, RetryAttempt: f.RetryAttempt, FreeRetries: f.FreeRetries, PaidBy: f.PaidBy, Failure: f.Failure}
			f.RetryAttempt++
			if f.Status == core.FilePending {
				f.FreeRetries++
			}
		}
		f.Status, f.Epoch, f.Failure = core.FilePending, r.Epoch+1, core.Failure{}
		s.records = append(s.records, record)
	}
	a.Files = s.records[before:]
	if len(a.Files) == 0 {
		return false
	}
	r.Epoch++
	a.Epoch, a.Jobs = r.Epoch, len(a.Files)
	if r.Mode == core.ModeBatch {
		a.Jobs = 1
	}
	if total > 0 {
		s.charge(&a, charge, total, balance, now)
	}
	r.Attempt, r.AttemptJobs, r.CompletedJobs, r.FailedJobs = n, a.Jobs, 0, 0
	r.Failure = core.Failure{}
	r.Dispatch, r.DispatchedAt = core.DispatchUnconfirmed, now
	if n > 0 {
		r.LastRetriedAt = now
	}
	s.attempts = append(s.attempts, a)
	return true
}

func (s *story) charge(a *core.Attempt, key core.Key, total core.Credits, balance *core.Balance, now time.Time) {
	monthly := min(total, balance.Monthly)
	split := core.Split{Monthly: monthly, Purchased: total - monthly}
	a.Charge = core.Charge{Key: key, Period: balance.Period, Amount: split}
	s.entries = append(s.entries, core.Entry{
		Tenant: s.run.Tenant, Key: a.Charge.Key, Kind: core.EntryCharge, Period: balance.Period, Amount: split,
		Run: s.run.ID, Attempt: a.Number, Actor: s.run.CreatedBy, At: now,
	})
	balance.Monthly -= split.Monthly
	balance.Purchased -= split.Purchased
	s.run.CreditsFromMonthly += split.Monthly
	s.run.CreditsFromPurchased += split.Purchased
	s.run.CreditsConsumed += total
}

// end lets the files of the attempt end; if a job was never claimed, the run is
// cancelled. A batch job is claimed with all its files or not at all.
func (s *story) end(ends []core.FileStatus, now time.Time) {
	r := &s.run
	files := s.attempts[len(s.attempts)-1].Files
	for at := 0; at < len(files); {
		job := files[at : at+len(files)/r.AttemptJobs]
		at += len(job)
		claimed, completed := true, true
		for _, f := range job {
			claimed = claimed && ends[f.Index] != core.FilePending
			completed = completed && ends[f.Index] == core.FileCompleted
		}
		if !claimed {
			continue
		}
		r.Dispatch = core.DispatchConfirmed
		for _, f := range job {
			s.ended(&s.files[f.Index], ends[f.Index])
		}
		if completed {
			r.CompletedJobs++
		} else {
			r.FailedJobs++
		}
	}
	r.Tally, r.Reason, r.ClosedAt = tallyOf(s.files), core.ReasonNone, now
	switch {
	case r.Tally.Unfinished > 0 && r.CompletedJobs+r.FailedJobs == r.AttemptJobs:
		r.Status, r.Reason, r.Failure = core.RunInterrupted, core.ReasonServiceFault, pastFault
	case r.Tally.Unfinished > 0:
		r.Status, r.Reason = core.RunInterrupted, core.ReasonCancelled
		r.Epoch++
	case r.Tally.Completed == len(s.files):
		r.Status = core.RunCompleted
	case r.Tally.Completed > 0:
		r.Status = core.RunCompletedWithErrors
	default:
		r.Status = core.RunFailed
	}
}

// pastFault is what interrupted files.
var pastFault = core.Failure{Code: core.FailureUnauthorized, Message: "it was so in the past"}

func (s *story) ended(f *core.File, status core.FileStatus) {
	if status == Interrupted {
		s.run.Epoch++
		f.Status, f.Epoch, f.Failure = core.FilePending, s.run.Epoch, pastFault
		return
	}
	f.Status = status
	if status == core.FileCompleted {
		f.Output = "done"
		return
	}
	f.Failure = core.Failure{Code: "simulated", Message: "it was so in the past"}
}

func tallyOf(files []core.File) (t core.Tally) {
	for i := range files {
		switch files[i].Status {
		case core.FilePending, core.FileProcessing:
			t.Unfinished++
		case core.FileCompleted:
			t.Completed++
		case core.FileFailed:
			t.Failed++
		case core.FileError:
			t.Error++
		}
	}
	return t
}
