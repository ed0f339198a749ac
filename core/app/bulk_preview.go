package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// BulkPreview is what a bulk continue of the selected runs would do now.
type BulkPreview struct {
	BulkPreviewTotals

	Tenants []BulkTenantPreview // ascending
	// Reasons says of each code in Refused what it means.
	Reasons map[core.Code]string
	// Samples are refused runs, as many as fit.
	Samples []BulkRefused
}

// BulkPreviewTotals are sums of a preview.
type BulkPreviewTotals struct {
	Runs     int // selected
	Accepted int // that would be continued
	Charged  int // files that are paid for again
	Free     int // files that were paid for already
	Price    core.Credits
	Refused  map[core.Code]int // adds up to Runs less Accepted
}

// BulkTenantPreview is what it would do of one tenant.
type BulkTenantPreview struct {
	BulkPreviewTotals

	Tenant    core.TenantID
	Available core.Credits
}

// BulkRefused is a run that would be refused.
type BulkRefused struct {
	Tenant  core.TenantID
	Run     core.RunID
	Code    core.Code
	Message string
}

// PreviewBulk answers what CreateBulk would do now, and changes nothing. It goes by the
// counters of the runs and not by each file, so that it is cheap. Refusals as CreateBulk.
func (s *Service) PreviewBulk(ctx context.Context, actor core.Actor, req BulkRequest) (BulkPreview, error) {
	if err := s.checkBulk(actor, req); err != nil {
		return BulkPreview{}, err
	}
	leave, err := s.selecting(req.Tenant)
	if err != nil {
		return BulkPreview{}, err
	}
	defer leave()
	chosen, err := s.selectRuns(ctx, actor, req)
	if err != nil {
		return BulkPreview{}, err
	}
	return s.previewRuns(ctx, chosen)
}

func (s *Service) previewRuns(ctx context.Context, chosen []runsOf) (BulkPreview, error) {
	p := BulkPreview{Reasons: map[core.Code]string{}}
	for _, of := range chosen {
		t := BulkTenantPreview{Tenant: of.tenant}
		for from := 0; from < len(of.runs); from += bulkPage {
			runs := of.runs[from:min(from+bulkPage, len(of.runs))]
			err := s.store.View(ctx, of.tenant, func(tx ports.Tx) error {
				balance, err := tx.Ledger().Balance(ctx, core.PeriodOf(s.clock.Now()))
				if err != nil {
					return notFound(err, tenantNotFound(of.tenant))
				}
				t.Available = balance.Total()
				owner, err := tx.Tenants().Get(ctx)
				if err != nil {
					return err
				}
				return previewPage(ctx, tx, &p, &t, runs, owner.NotSuspended())
			})
			if err != nil {
				return BulkPreview{}, err
			}
		}
		if err := p.add(t.BulkPreviewTotals); err != nil {
			return BulkPreview{}, err
		}
		p.Tenants = append(p.Tenants, t)
	}
	return p, nil
}

// previewPage looks at some runs, as if those before had been continued.
func previewPage(ctx context.Context, tx ports.Tx, p *BulkPreview, t *BulkTenantPreview, runs []core.Run, suspended error) error {
	prices := map[core.TemplateID]core.Credits{}
	for _, run := range runs {
		price, known := prices[run.Template]
		if !known {
			template, err := tx.Templates().Get(ctx, run.Template)
			if err != nil {
				return notFound(err, templateNotFound(run.Template))
			}
			price = template.CreditsPerRun
			prices[run.Template] = price
		}
		v, err := viewOf(ctx, tx, run)
		if err != nil {
			return err
		}
		cost, refusal := core.Credits(0), v.Refusal
		if refusal == nil {
			refusal = suspended
		}
		if refusal == nil {
			if cost, refusal = price.Times(run.Tally.Failed); refusal == nil && cost > t.Available-t.Price {
				refusal = &core.Error{
					Code:    core.CodeInsufficientCredits,
					Message: fmt.Sprintf("it costs %d credits, and %d are left after those before it", cost, t.Available-t.Price),
				}
			}
		}
		t.Runs++
		if refusal == nil {
			t.Accepted, t.Charged, t.Free, t.Price = t.Accepted+1, t.Charged+run.Tally.Failed, t.Free+run.Tally.Unfinished, t.Price+cost
			continue
		}
		e, ok := errors.AsType[*core.Error](refusal)
		if !ok {
			return refusal
		}
		if t.Refused == nil {
			t.Refused = map[core.Code]int{}
		}
		t.Refused[e.Code]++
		if p.Reasons[e.Code] == "" {
			p.Reasons[e.Code] = e.Message
		}
		if len(p.Samples) < maxBulkSamples {
			p.Samples = append(p.Samples, BulkRefused{Tenant: t.Tenant, Run: run.ID, Code: e.Code, Message: e.Message})
		}
	}
	return nil
}

func (p *BulkPreviewTotals) add(t BulkPreviewTotals) (err error) {
	p.Runs, p.Accepted, p.Charged, p.Free = p.Runs+t.Runs, p.Accepted+t.Accepted, p.Charged+t.Charged, p.Free+t.Free
	for code, n := range t.Refused {
		if p.Refused == nil {
			p.Refused = map[core.Code]int{}
		}
		p.Refused[code] += n
	}
	p.Price, err = p.Price.Plus(t.Price)
	return err
}
