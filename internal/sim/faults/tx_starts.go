package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

type txStarts struct{ *tx }

func (t txStarts) Read(ctx context.Context, want ports.StartReads) (ports.StartInputs, error) {
	if err := t.lock(trace.CreditsLock, t.first); err != nil {
		return ports.StartInputs{}, err
	}
	found, err := t.inner.Starts().Read(ctx, want)
	t.locked(err)
	t.credits = t.credits || err == nil
	t.readBalance(found.Balance, err)
	for id := range found.Templates {
		err = t.own(err, found.Templates[id].Tenant, "template")
	}
	for key := range found.Answers {
		err = t.own(err, found.Answers[key].Tenant, "remembered answer")
	}
	return found, err
}

// Write may wait for a key, and is a step for that; the rest is written under locks. So
// are several starts together, as what the store does for them takes longer.
func (t txStarts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
	about := t.first
	if about == "" && len(starts) > 0 {
		about = starts[0].Run.ID
	}
	if len(starts) > 1 || len(answers) > 0 {
		if err := t.lock(trace.StartsWrite, about); err != nil {
			if len(starts) > 1 {
				t.env.Oracle.Met(oracle.DecidedApart)
			}
			return nil, err
		}
	} else if err := t.under(true, trace.StartsWrite, about); err != nil {
		return nil, err
	}
	posted, err := t.inner.Starts().Write(ctx, starts, answers)
	t.locked(err)
	if err != nil {
		return posted, err
	}
	for i := range starts {
		b := &starts[i]
		if b.New {
			t.lockedNew(b.Run.ID)
			t.commit.Inserted = append(t.commit.Inserted, oracle.NewRun{Run: b.Run, Files: b.Files})
		} else {
			t.lockedRun(b.Run.ID)
			t.commit.Runs = append(t.commit.Runs, b.Run)
			for j := range b.Files {
				t.commit.Files = append(t.commit.Files, oracle.FileWrite{Run: b.Run.ID, File: b.Files[j]})
			}
		}
		t.commit.Attempts = append(t.commit.Attempts, b.Attempt)
	}
	if len(posted) > 0 {
		t.credits = true
	}
	t.commit.Entries = append(t.commit.Entries, posted...)
	t.commit.Answers = append(t.commit.Answers, answers...)
	return posted, nil
}
