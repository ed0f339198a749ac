package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var _ ports.Mover = (*Store)(nil)

// MoveOf implements ports.Mover.
func (s *Store) MoveOf(_ context.Context, tenant core.TenantID) (ports.Move, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.moves[tenant], nil
}

// SetMove implements ports.Mover. Transactions commit under the store's mutex, so there is
// none to wait for.
func (s *Store) SetMove(_ context.Context, tenant core.TenantID, was, is ports.Move) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setMove(tenant, was, is)
}

func (s *Store) setMove(tenant core.TenantID, was, is ports.Move) error {
	if now := s.moves[tenant]; now.ID != was.ID || now.State != was.State {
		return ports.ErrMoveChanged
	}
	if is == (ports.Move{}) {
		delete(s.moves, tenant)
	} else {
		s.moves[tenant] = is
	}
	return nil
}

// Import implements ports.Mover. Unlike a store on a disk it has to keep the records until
// they are committed.
func (s *Store) Import(ctx context.Context, tenant core.TenantID, was, is ports.Move, records iter.Seq2[ports.Record, error]) error {
	if now, err := s.MoveOf(ctx, tenant); err != nil || now.ID != was.ID || now.State != was.State {
		return errors.Join(err, ports.ErrMoveChanged)
	}
	t := s.begin(tenant, false)
	defer s.end(t)
	t.imports = true
	in := importing{t: t}
	for record, err := range records {
		if err == nil {
			err = in.write(ctx, record)
		}
		if err != nil {
			return err
		}
	}
	if err := in.end(ctx); err != nil {
		return err
	}
	// Again, before the contents: two imports of one tenant do not both commit.
	s.mu.Lock()
	err := s.setMove(tenant, was, is)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.commit(t)
}

// importing writes the records of one tenant.
type importing struct {
	t     *tx
	run   *core.Run // that has to be inserted with all its files
	files []core.File
	long  *core.Attempt // that has to be inserted with all its files
}

func (in *importing) write(ctx context.Context, record ports.Record) error {
	if files, ok := record.([]core.File); ok {
		in.files = append(in.files, files...)
		return nil
	}
	if files, ok := record.([]core.AttemptFile); ok && in.long != nil {
		in.long.Files = append(in.long.Files, files...)
		return nil
	}
	if err := in.end(ctx); err != nil {
		return err
	}
	t := in.t
	switch r := record.(type) {
	case core.Tenant:
		return t.Tenants().Insert(ctx, r)
	case core.Template:
		return t.Templates().Insert(ctx, r)
	case core.TemplateVersion:
		return t.TemplateVersions().Insert(ctx, r)
	case []core.APIKey:
		return insertAll(ctx, t.APIKeys().Insert, r)
	case core.Run:
		in.run = &r
	case core.Attempt:
		return t.Attempts().Insert(ctx, r)
	case ports.LongAttempt:
		r.Files = core.AllFiles(0, r.All, r.Price > 0)
		in.long = &r.Attempt
	case core.Amendment:
		return t.Amendments().Insert(ctx, r)
	case []core.Entry:
		posted := &t.writes().posted
		posted.entries = append(posted.entries, r...)
	case []core.Balance:
		posted := &t.writes().posted
		posted.monthly = append(posted.monthly, r...)
		if len(r) > 0 {
			posted.purchased = r[0].Purchased
		}
	case []core.Answer:
		return insertAll(ctx, t.Answers().Insert, r)
	case []core.Reply:
		return insertAll(ctx, t.Replies().Insert, r)
	case []core.AuditEvent:
		return insertAll(ctx, t.AuditLog().Insert, r)
	case core.LowCredits:
		return t.WebhookEvents().SaveLowCredits(ctx, r)
	case core.WebhookEndpoint:
		return t.WebhookEndpoints().Insert(ctx, r)
	case []core.WebhookDelivery:
		return t.WebhookDeliveries().Insert(ctx, r...)
	default:
		return fmt.Errorf("memory: %T is no record of a tenant", record)
	}
	return nil
}

func insertAll[T any](ctx context.Context, insert func(context.Context, T) error, list []T) error {
	for _, row := range list {
		if err := insert(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// end inserts the run, or the attempt, that the records before were of.
func (in *importing) end(ctx context.Context) error {
	if in.long != nil {
		attempt := *in.long
		in.long = nil
		return in.t.Attempts().Insert(ctx, attempt)
	}
	if in.run == nil {
		return nil
	}
	run, files := *in.run, in.files
	in.run, in.files = nil, nil
	return in.t.Runs().Insert(ctx, run, files)
}

// AttemptFrom implements ports.Mover.
func (s *Store) AttemptFrom(ctx context.Context, tenant core.TenantID, run core.RunID, n core.AttemptNumber, from, limit int) (found core.Attempt, err error) {
	err = s.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if found, err = tx.Attempts().Get(ctx, run, n); err != nil {
			return err
		}
		first := sort.Search(len(found.Files), func(i int) bool { return found.Files[i].Index >= from })
		found.Files = found.Files[first:min(first+limit, len(found.Files))]
		return nil
	})
	return found, err
}

// AnswersAfter implements ports.Mover.
func (s *Store) AnswersAfter(_ context.Context, tenant core.TenantID, after core.Key, limit int) ([]core.Answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []core.Answer
	if st := s.tenants[tenant]; st != nil {
		for _, a := range st.answers.list {
			if a.Key > after {
				list = append(list, cloneAnswer(a))
			}
		}
	}
	slices.SortFunc(list, func(a, b core.Answer) int { return cmp.Compare(a.Key, b.Key) })
	return list[:min(limit, len(list))], nil
}
