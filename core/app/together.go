package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// decideTogether decides a group in one transaction: all that the rules need is read
// first, then each is decided on what the ones before it leave, then all is written. It
// gives those that are too much for one transaction, which go next.
//
// What becomes of the group:
//   - decided: each has its own answer, a refusal included, which costs the others nothing;
//   - the run is held by another transaction: that one goes alone, so that it holds up no one;
//   - its context has ended: it is not begun;
//   - the outcome of the commit is unknown: so it is for each of them;
//   - a fault before the tenant's lock was acquired: it is told to each, because each
//     would meet it by itself;
//   - any other fault, or a panic: one of them may have caused it, and nothing was
//     written, so each goes alone.
//
// The transaction does not end with the context of the leader, because it is the
// others' as well; the store's own timeouts bound it.
func (s *Service) decideTogether(tenant core.TenantID, group []*turn) (next []*turn) {
	ctx := detached(group[0].ctx)
	var g *groupInputs
	defer func() {
		if p := recover(); p != nil {
			if s.log.Enabled(ctx, slog.LevelError) {
				s.log.Error("deciding requests together panicked; each is decided alone", "tenant", tenant, "requests", len(group), "panic", p, "stack", string(debug.Stack()))
			}
		}
	}()
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		g = &groupInputs{s: s, tenant: tenant}
		return g.decide(ctx, tx, group)
	})
	if err != nil && g != nil && g.locked && !errors.Is(err, ports.ErrCommitUnknown) {
		s.log.Warn("deciding requests together failed; each is decided alone", "tenant", tenant, "requests", len(g.group), "error", err)
		return g.next
	}
	if err != nil && (g == nil || !g.locked) {
		for _, t := range group {
			t.alone, t.err = false, err
		}
		return nil
	}
	for i, t := range g.group {
		t.alone, t.err = false, err
		if err == nil {
			t.err = g.errs[i]
		}
	}
	s.toldSomething()
	return g.next
}

// groupInputs is what a group is decided on: what was read for all of them, and changes
// with each that is accepted.
type groupInputs struct {
	s      *Service
	tenant core.TenantID
	locked bool // the tenant's credits are
	group  []*turn
	errs   []error // one for each of group: a refusal that is not remembered, or its own fault
	next   []*turn // were too many

	runs   map[core.RunID]core.Run
	found  ports.StartInputs
	now    time.Time
	events startEvents
}

func (g *groupInputs) decide(ctx context.Context, tx ports.Tx, group []*turn) error {
	if err := g.lock(ctx, tx, group); err != nil {
		return err
	}
	if err := g.readAll(ctx, tx); err != nil {
		return err
	}
	var starts []ports.Start
	var answers []core.Answer
	g.errs = make([]error, len(g.group))
	for i, t := range g.group {
		if g.errs[i] = t.ctx.Err(); g.errs[i] != nil {
			continue // it has ended before its turn came
		}
		v, err := t.start.decide(ctx, g)
		if err != nil {
			g.errs[i] = err
			continue
		}
		v.sendBy(ports.OutboxOf(tx), g.s.opts.Recovery, t.start.trace)
		t.start.verdict = v
		if v.remember != nil {
			answers = append(answers, *v.remember)
			g.found.Answers[v.remember.Key] = *v.remember
		}
		if v.done {
			continue
		}
		starts = append(starts, v.begin)
		if err := g.events.add(ctx, tx, &v.begin, g.found.Balance); err != nil {
			return err
		}
		if err := g.accept(&v.begin); err != nil {
			return err
		}
	}
	if len(starts)+len(answers) == 0 {
		return nil
	}
	if err := g.events.write(ctx, tx); err != nil {
		return err
	}
	_, err := tx.Starts().Write(ctx, starts, answers)
	return err
}

// lock takes the locks of the group's runs. Runs that others hold are passed over: who needs
// one is left out.
func (g *groupInputs) lock(ctx context.Context, tx ports.Tx, group []*turn) error {
	g.runs = map[core.RunID]core.Run{}
	ids := map[core.RunID]bool{}
	for _, t := range group {
		if id := t.start.run; id != "" {
			ids[id] = true
		}
	}
	if len(ids) > 0 {
		want := make([]ports.FilesOf, 0, len(ids))
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			want = append(want, ports.FilesOf{Run: id})
		}
		free, err := tx.Runs().Lock(ctx, ports.SkipLocked, want...)
		if err != nil {
			return err
		}
		for i := range free {
			g.runs[free[i].Run.ID] = free[i].Run
		}
	}
	g.choose(group)
	return nil
}

// choose leaves out who goes alone, and as many as are too much for one transaction.
func (g *groupInputs) choose(group []*turn) {
	files := 0
	for i, t := range group {
		n := t.start.files
		if id := t.start.run; id != "" {
			run, free := g.runs[id]
			if !free {
				continue
			}
			if t.start.terms.Status(run) == nil {
				n = run.Tally.Failed + run.Tally.Unfinished
			}
		}
		if files += n; files > maxGroupFiles && len(g.group) > 0 {
			g.next = append(g.next, group[i:]...)
			return
		}
		g.group = append(g.group, t)
	}
}

// readAll locks the tenant's credits and reads what the group is decided on besides its runs.
func (g *groupInputs) readAll(ctx context.Context, tx ports.Tx) error {
	var want ports.StartReads
	for _, t := range g.group {
		template := t.start.template
		if key := t.start.key; key != "" && !slices.Contains(want.Keys, key) {
			want.Keys = append(want.Keys, key)
		}
		if id := t.start.run; id != "" {
			run := g.runs[id]
			if t.start.terms.Status(run) != nil || slices.Contains(want.Runs, id) {
				continue
			}
			template = run.Template
			want.Runs = append(want.Runs, id)
		}
		if !slices.Contains(want.Templates, template) {
			want.Templates = append(want.Templates, template)
		}
	}
	slices.Sort(want.Templates)
	var err error
	g.found, g.now, err = g.s.readStarts(ctx, tx, g.tenant, want)
	g.locked = err == nil || !metByEach(err)
	return err
}

// metByEach reports whether a fault that reading met is none of what one start asked for:
// the lock was not to be had, or the store does not answer.
func metByEach(err error) bool {
	_, refused := asRefusal(err) // there is no such tenant
	return refused || errors.Is(err, ports.ErrLockTimeout) || errors.Is(err, ports.ErrUnavailable) || errors.Is(err, ports.ErrDeadlock)
}

// accept lets those that follow see what an accepted one leaves.
func (g *groupInputs) accept(b *ports.Start) error {
	g.runs[b.Run.ID] = b.Run
	for _, e := range b.Charge {
		left, err := g.found.Balance.Minus(e.Amount)
		if err != nil {
			return fmt.Errorf("charge %s: %w", e.Key, err)
		}
		g.found.Balance.Split = left
	}
	return nil
}

func (g *groupInputs) run(_ context.Context, id core.RunID) (core.Run, error) {
	return g.runs[id], nil // locked, or else it would not be in the group
}

func (g *groupInputs) answer(_ context.Context, key core.Key) (*core.Answer, error) {
	if answer, ok := g.found.Answers[key]; ok {
		return &answer, nil
	}
	return nil, nil
}

func (g *groupInputs) read(_ context.Context, want startReads) (startInputs, error) {
	return want.of(&g.found, g.now), nil
}
