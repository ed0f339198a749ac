package world

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/ports"
)

// bulk asks for a bulk continue of a tenant's runs, those that are known by now.
func (w *World) bulk(ctx context.Context, svc *app.Service, who core.Actor, a *actor, op *Op) error {
	tenant := w.sc.Tenants[op.Tenant].ID
	req := app.BulkRequest{Tenant: tenant, IdempotencyKey: op.Key}
	cost := core.Credits(0) // now, at the most
	for n := range w.slots {
		if t := &w.sc.Templates[w.sc.Runs[n].Template]; w.slots[n].known && t.Tenant == op.Tenant {
			req.Runs = append(req.Runs, w.slots[n].id)
			cost += w.oracle.Price(tenant, t.ID) * core.Credits(w.oracle.Row(w.slots[n].id).Tally.Failed)
		}
	}
	if len(req.Runs) == 0 {
		return nil
	}
	if op.Amount%2 == 0 {
		most := op.Amount
		if op.dearer() {
			if a.tries == 0 { // a repeat asks for the same
				a.most = cost
			}
			most = a.most
		}
		req.Terms.MaxPrice = &most
	}
	if op.Amount%3 == 0 {
		req.Terms.Canary = &core.BulkCanary{Runs: 1, MaxFailedPercent: 100}
	}
	_, _, err := svc.CreateBulk(ctx, who, req)
	w.wakeDrivers()
	return err
}

// dearer reports whether a bulk continue may cost what it costs when it is asked for, and its
// runs become dearer.
func (op *Op) dearer() bool { return op.Amount%4 == 0 }

// driveBulks is the loop of a server that drives bulk continues.
func (w *World) driveBulks(ctx context.Context, a *actor) {
	driver := w.servers[a.process].svc.NewBulkDriver(a.name)
	for !w.env.Over {
		if !w.bulkUnderWay() {
			w.sched.Block()
			continue
		}
		w.env.Enter(oracle.UseBulk)
		_, err := driver.Pass(ctx)
		w.tolerate(err)
		if !w.env.Rest(bulkEvery) {
			return
		}
	}
}

// bulkUnderWay reports whether a bulk continue is to be driven. It looks past the faults.
func (w *World) bulkUnderWay() bool {
	if w.drivers == 0 {
		return false
	}
	list, err := w.memory.BulkContinues().List(context.Background(), ports.BulkFilter{Unended: true, Limit: 100})
	if err != nil {
		w.oracle.Fail(oracle.Explained, "bulk continues cannot be read: %v", err)
	}
	for _, b := range list {
		if b.Status == core.BulkRunning {
			return true
		}
	}
	return false
}

func (w *World) wakeDrivers() {
	for rest := w.drivers; rest != 0; rest &= rest - 1 {
		w.sched.Wake(rest.At(0))
	}
}
