package oracle

import (
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// granted checks that the refill grants a month once.
func (o *Oracle) granted(t *tenant, c *Commit, m *model.Month, e *core.Entry) {
	if c.Use != UseRefill && c.Use != UseSetUp && c.Use != UseTenant {
		return
	}
	if m.Granted {
		o.fail(GrantOnce, "tenant %s was granted %s twice", t.id, m.Period)
	}
	m.Granted = true
	if e.Amount.Monthly != t.allowance {
		o.fail(GrantOnce, "tenant %s was granted %d for %s, its allowance is %d", t.id, e.Amount.Monthly, m.Period, t.allowance)
	}
}

// enrolled checks that a new tenant can start at once: it has its month's allowance.
func (o *Oracle) enrolled(t *tenant, c *Commit) {
	if c.Use != UseTenant || len(c.Tenants) == 0 {
		return
	}
	o.met(Enrolled)
	if p := core.PeriodOf(c.Tenants[0].CreatedAt); t.allowance > 0 && !t.account.Month(p).Granted {
		o.fail(Refilled, "tenant %s was created without its allowance of %s", t.id, p)
	}
}

// Refilled is told that a refill has looked at every tenant, without a fault that
// passes: those that were there when it began must have their allowance of the month,
// but for one whose rows it cannot read.
func (o *Oracle) Refilled(began int, p core.Period, unlucky core.TenantID) {
	for _, t := range o.tenants {
		if t.since > began {
			continue
		}
		switch granted := t.allowance == 0 || t.account.Month(p).Granted; {
		case granted && unlucky != "" && t.id != unlucky:
			o.met(RefilledBeside)
		case !granted && t.id != unlucky:
			o.fail(Refilled, "tenant %s does not have its allowance of %s, which every refill would grant", t.id, p)
		}
	}
}
