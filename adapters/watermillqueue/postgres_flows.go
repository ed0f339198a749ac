package watermillqueue

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/ports"
)

// Whose messages a pgSubscriber takes next.

// share is how many jobs of a flow may be taken now.
type share struct {
	flow        *flow
	jobs, limit int // limit: rows to look at
}

// plan says what to take. Whose messages there are is looked up only when it is not
// known: when none of those who are known has any, when others may have sent some, and
// now and then, because a notification can get lost and what a dead server had in hand
// becomes free without one.
func (s *pgSubscriber) plan(want demand) ([]share, error) {
	s.mu.Lock()
	age := time.Since(s.looked)
	if !s.doubt && age < s.opts.PollInterval && (!s.unseen || age < lookEvery) {
		if plan := s.shares(want); len(plan) > 0 || !s.unseen {
			s.mu.Unlock()
			return plan, nil
		}
	}
	s.unseen, s.doubt = false, false
	s.ticks++
	from, tick := s.cursor, s.ticks
	s.mu.Unlock()
	if err := s.lookUp(from, tick); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shares(want), nil
}

// shares divides what is wanted among those whose turn it is. The caller holds mu.
func (s *pgSubscriber) shares(want demand) (plan []share) {
	skipped := newSkipSet(want.skip)
	part := s.turns.share(want.limit)
	for planned := 0; planned < want.limit && len(plan) < mostFlows; {
		f := s.turns.pick(skipped)
		if f == nil || slices.ContainsFunc(plan, func(p share) bool { return p.flow == f }) {
			break
		}
		jobs := min(part, want.limit)
		plan = append(plan, share{f, jobs, (jobs + max(f.size, 1) - 1) / max(f.size, 1)})
		planned += max(jobs, f.size)
	}
	return plan
}

// lookUp finds out who has messages, or takes over those of servers of an earlier release: one
// statement but for the first time, so that an idle server sends no more than one every
// PollInterval.
func (s *pgSubscriber) lookUp(from ports.TemplateKey, tick int) error {
	ctx, cancel := context.WithTimeout(s.ctx, statementTimeout)
	defer cancel()
	s.mu.Lock()
	s.looked = time.Now()
	s.mu.Unlock()
	if first := s.moved.IsZero(); first || time.Since(s.moved) >= moveEvery {
		if err := s.move(ctx); err != nil || !first {
			return err
		}
	}
	// Postgres plans it each time, so it goes by how much there is now.
	rows, err := s.pool.Query(ctx, flowsSQL, pgx.QueryExecModeExec, string(from.Tenant), string(from.Template), flowsPage)
	if err != nil {
		return err
	}
	type found struct {
		key  ports.TemplateKey
		free bool
	}
	flows, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		return f, row.Scan(&f.key.Tenant, &f.key.Template, &f.free)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = ports.TemplateKey{}
	if len(flows) == flowsPage {
		s.cursor, s.unseen = flows[flowsPage-1].key, true
	}
	free := make(map[*flow]bool, len(flows))
	for _, f := range flows {
		if f.free {
			free[s.turns.add(f.key)] = true
		}
	}
	if s.cursor == from { // all were looked at
		for _, f := range s.turns.all() {
			if !free[f] && f.learned < tick {
				s.turns.remove(f)
			}
		}
	}
	return nil
}

// move takes over messages of servers of an earlier release.
func (s *pgSubscriber) move(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, moveSQL, pgx.QueryExecModeExec, movedPage)
	if err != nil {
		return err
	}
	moved := 0
	flows := map[ports.TemplateKey]bool{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n int, err error) {
		var key ports.TemplateKey
		err = row.Scan(&key.Tenant, &key.Template, &n)
		flows[key] = true
		moved += n
		return n, err
	})
	if err != nil {
		return err
	}
	if moved == 0 {
		s.moved = time.Now()
		return nil
	}
	s.learn(flows)
	return nil
}

// learn notes who has messages now; nil if this is not known.
func (s *pgSubscriber) learn(flows map[ports.TemplateKey]bool) {
	s.mu.Lock()
	if len(flows) == 0 {
		s.unseen = true
	}
	for key := range flows {
		s.turns.add(key).learned = s.ticks
	}
	s.mu.Unlock()
	token(s.woken)
}

// later looks at what was given back once it is free again.
func (s *pgSubscriber) later(given givenBack) {
	for key, delay := range given {
		flows := map[ports.TemplateKey]bool{key: true}
		if delay == 0 {
			s.learn(flows)
			continue
		}
		s.delayed.after(delay, func() { s.learn(flows) })
	}
}
