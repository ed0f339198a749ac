package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// refillAhead is how long before a month ends the next one's allowance is
// granted. Each period has its own allowance, so an early grant gives no tenant more to
// spend before, and no tenant waits for a refill at midnight.
const refillAhead = 24 * time.Hour

// Refill grants every tenant its monthly allowance for the current period, and
// for the next one when it is about to begin. Each period is granted once,
// however often and on however many instances this runs: the entry's key is the
// period, and it is looked for under the tenant's lock.
//
// The store is asked for those who lack a grant, so that a pass that finds nothing to
// do is one statement a month, however many tenants there are.
func (s *Service) Refill(ctx context.Context) error {
	var errs []error
	for _, m := range monthsToRefill(s.clock.Now()) {
		ungranted := func(after core.TenantID, limit int) ([]core.Tenant, error) {
			return s.store.Ungranted(ctx, m.key, after, limit)
		}
		errs = append(errs, eachTenant(ungranted, func(t core.Tenant) error {
			if err := s.refill(ctx, t, m); err != nil {
				return fmt.Errorf("refill tenant %s for %s: %w", t.ID, m.period, err)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// monthsToRefill are the current period, and the next one when it is about to begin.
func monthsToRefill(now time.Time) []month {
	months := []month{monthOf(core.PeriodOf(now))}
	if next := core.PeriodOf(now.Add(refillAhead)); next != months[0].period {
		months = append(months, monthOf(next))
	}
	return months
}

// month is a period with the key of its grant, which is the same for all tenants.
type month struct {
	period core.Period
	key    core.Key
}

func monthOf(p core.Period) month { return month{p, core.AllowanceKey(p)} }

func (s *Service) refill(ctx context.Context, t core.Tenant, m month) error {
	granted := func(tx ports.Tx) (bool, error) {
		_, err := tx.Ledger().Entry(ctx, m.key)
		if errors.Is(err, ports.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	return s.store.InTx(ctx, t.ID, func(tx ports.Tx) error {
		_, now, err := s.lockBalance(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		if already, err := granted(tx); err != nil || already {
			return err
		}
		if m.period.Before(core.PeriodOf(now)) {
			return nil // it ended while this waited: nothing can be spent of it any more
		}
		// It was listed without a lock, and may have been given another allowance since.
		if t, err = tx.Tenants().Get(ctx); err != nil || t.MonthlyAllowance == 0 {
			return err
		}
		entry, err := core.NewAllowance(t.ID, m.key, m.period, t.MonthlyAllowance, core.System, now)
		if err != nil {
			return err
		}
		return post(ctx, tx, []core.Entry{entry})
	})
}

// EachTenant calls do for every tenant and joins what goes wrong, so that one
// tenant's trouble is not another's. Tenants that cannot be asked are left out, and the error
// is a ports.ErrIncomplete then.
func EachTenant(ctx context.Context, store ports.Store, do func(core.Tenant) error) error {
	return eachTenant(func(after core.TenantID, limit int) ([]core.Tenant, error) {
		return store.AllTenants(ctx, after, limit)
	}, do)
}

// eachTenant is EachTenant for those tenants that next lists, a page at a time.
func eachTenant(next func(after core.TenantID, limit int) ([]core.Tenant, error), do func(core.Tenant) error) error {
	const page = 500
	var errs []error
	for after := core.TenantID(""); ; {
		tenants, missing := next(after, page)
		if unanswered(missing) {
			return errors.Join(append(errs, missing)...)
		}
		for _, t := range tenants {
			after = t.ID
			if err := do(t); err != nil {
				errs = append(errs, err)
			}
		}
		if len(tenants) < page {
			return errors.Join(append(errs, missing)...)
		}
	}
}
