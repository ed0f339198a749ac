package world

import (
	"context"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Past is what happened to a run before the world began: how its files ended in
// each attempt, the initiation first. A file that is pending was cancelled. Empty:
// the run is yet to be initiated.
type Past [][]core.FileStatus

// past writes the runs of a tenant that were closed before the world began. What
// they cost is on top of the tenant's credits.
func (w *World) past(ctx context.Context, tx ports.Tx, tenant int, balance core.Balance) error {
	for slot := range w.sc.Runs {
		spec := &w.sc.Runs[slot]
		if len(spec.Past) == 0 || w.sc.Templates[spec.Template].Tenant != tenant {
			continue
		}
		story, err := w.tell(slot, balance)
		if err != nil {
			return fmt.Errorf("the past of run %d: %w", slot, err)
		}
		if err := tx.Runs().Insert(ctx, story.run, story.files); err != nil {
			return err
		}
		for i := range story.attempts {
			if err := tx.Attempts().Insert(ctx, story.attempts[i]); err != nil {
				return err
			}
		}
		for _, e := range story.entries {
			if _, err := tx.Ledger().Post(ctx, e); err != nil {
				return err
			}
			if balance, err = balance.Apply(e); err != nil {
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

// story is what a past has left behind.
type story struct {
	run      core.Run
	files    []core.File
	attempts []core.Attempt
	entries  []core.Entry
}

// pastIDs are the IDs of runs that were closed before the world began.
var pastIDs = [...]core.RunID{"past-0", "past-1", "past-2", "past-3", "past-4", "past-5", "past-6", "past-7"}

// tell lets the rules of core play a past, from plan to plan.
func (w *World) tell(slot int, balance core.Balance) (story, error) {
	spec, now := &w.sc.Runs[slot], w.sc.Start
	template := w.template(spec.Template)
	who := admin(template.Tenant)
	plan, err := core.PlanRun(core.NewRun{
		ID: pastIDs[slot], Files: newFiles[:spec.Files], MaxRetryCount: &spec.MaxRetryCount, By: who,
	}, template, balance, now)
	if err != nil {
		return story{}, err
	}
	s := story{plan.Run, plan.Files, []core.Attempt{plan.Attempt}, plan.Charge}
	if err := s.work(plan.Jobs, spec.Past[0], now); err != nil {
		return story{}, err
	}
	for _, ends := range spec.Past[1:] {
		if s.run.Tally.Failed+s.run.Tally.Unfinished == 0 {
			break
		}
		for _, e := range s.entries[max(0, len(s.entries)-1):] {
			if balance, err = balance.Apply(e); err != nil {
				return story{}, err
			}
		}
		again, err := core.PlanRetry(s.run, s.files, balance, template, who, now)
		if err != nil {
			return story{}, err
		}
		s.run = again.Run
		s.take(again.Files)
		s.attempts = append(s.attempts, again.Attempt)
		s.entries = append(s.entries, again.Charge...)
		if err := s.work(again.Jobs, ends, now); err != nil {
			return story{}, err
		}
	}
	return s, nil
}

// take takes files as a plan leaves them.
func (s *story) take(files []core.File) {
	for i := range files {
		s.files[files[i].Index] = files[i]
	}
}

// work claims and settles the jobs of an attempt, and cancels it if a job is left.
func (s *story) work(jobs []core.Job, ends []core.FileStatus, now time.Time) error {
	done := make([]core.Settlement, 0, len(jobs))
	claimed := jobs[:0:0]
	for _, job := range jobs {
		one := core.Settlement{Job: job}
		for _, i := range job.Files {
			if ends[i] == core.FilePending {
				one.Results = nil
				break
			}
			one.Results = append(one.Results, resultOf(i, ends[i]))
		}
		if len(one.Results) > 0 {
			done, claimed = append(done, one), append(claimed, job)
		}
	}
	claim, err := core.Claim(s.run, s.files, claimed, now, recovery.Lease)
	if err != nil {
		return err
	}
	s.run = claim.Run
	s.take(claim.Files)
	settled, err := core.Settle(s.run, s.files, done, now)
	if err != nil {
		return err
	}
	s.run = settled.Run
	s.take(settled.Files)
	if settled.Closed {
		return nil
	}
	cancelled, err := core.PlanCancel(s.run, nil, now)
	s.run = cancelled.Run
	return err
}

func resultOf(index int, status core.FileStatus) core.FileResult {
	r := core.FileResult{Index: index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "simulated", Message: "it was so in the past"}}
	switch status {
	case core.FileCompleted:
		return core.FileResult{Index: index, Outcome: core.OutcomeCompleted, Output: "done"}
	case core.FileError:
		r.Outcome = core.OutcomePermanent
	case core.FileFailed, core.FilePending, core.FileProcessing:
	}
	return r
}
