package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// reading is a method that reads, called for a row that the world has.
type reading struct {
	name  string
	locks bool // …ForUpdate
	// own says that the method is asked for no row by name: it gives what the
	// transaction's own tenant has.
	own  bool
	call func(ctx context.Context, tx ports.Tx, w *world) (any, error)
}

// readings has one for each method of ports.Tx that reads; testCoverage
// compares it with the interfaces.
var readings = []reading{
	{name: "Runs.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) { return tx.Runs().Get(ctx, w.running.ID) }},
	{name: "Runs.List", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Runs().List(ctx, ports.RunFilter{Limit: 100})
	}},
	{name: "RunFiles.ByIndex", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Files().ByIndex(ctx, w.running.ID, []int{0, 1, 2, 3, 4, 5})
	}},
	{name: "RunFiles.InStatus", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Files().InStatus(ctx, w.running.ID, core.FilePending, core.FileProcessing, core.FileCompleted, core.FileFailed, core.FileError)
	}},
	{name: "FileViews.Page", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.FileViews().Page(ctx, w.running.ID, ports.FileFilter{From: 0, Limit: 100, OutputBytes: 1 << 20})
	}},
	{name: "FileViews.AnyMaxed", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.FileViews().AnyMaxed(ctx, w.running.ID, 1)
	}},
	{name: "FileViews.Output", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.FileViews().Output(ctx, w.running.ID, 2)
	}},
	{name: "FileViews.Counts", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.FileViews().Counts(ctx, w.running.ID)
	}},
	{name: "TemplateVersions.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.TemplateVersions().Get(ctx, w.template.ID, 1)
	}},
	{name: "TemplateVersions.List", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.TemplateVersions().List(ctx, w.template.ID, 0, 100)
	}},
	{name: "FileViews.FailedWith", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.FileViews().FailedWith(ctx, []core.RunID{w.running.ID, w.closed.ID}, "rate_limited")
	}},
	{name: "BulkParts.Runs", own: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.BulkParts().Runs(ctx, w.bulk.Bulk, ports.BulkRunFilter{Limit: 100})
	}},
	{name: "BulkParts.Lock", own: true, locks: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.BulkParts().Lock(ctx, w.bulk.Bulk)
	}},
	{name: "Runs.Lock", locks: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: w.running.ID, Indexes: []int{0, 1}}, ports.FilesOf{Run: w.closed.ID, Indexes: []int{0}})
	}},
	{name: "Starts.Read", own: true, locks: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Starts().Read(ctx, ports.StartReads{
			Period: march, Runs: []core.RunID{w.running.ID, w.closed.ID}, Templates: []core.TemplateID{w.template.ID},
			Keys: []core.Key{w.answer.Key, "never used"},
		})
	}},
	{name: "Attempts.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Attempts().Get(ctx, w.running.ID, 1)
	}},
	{name: "Attempts.List", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Attempts().List(ctx, w.running.ID)
	}},
	{name: "Amendments.List", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Amendments().List(ctx, w.closed.ID)
	}},
	{name: "Tenants.Get", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) { return tx.Tenants().Get(ctx) }},
	{name: "Templates.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Templates().Get(ctx, w.template.ID)
	}},
	{name: "Templates.GetForUpdate", locks: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Templates().GetForUpdate(ctx, w.template.ID)
	}},
	{name: "Templates.List", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) { return tx.Templates().List(ctx) }},
	{name: "Ledger.Balance", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Ledger().Balance(ctx, march)
	}},
	{name: "Ledger.BalanceForUpdate", own: true, locks: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Ledger().BalanceForUpdate(ctx, march)
	}},
	{name: "Ledger.Entry", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Ledger().Entry(ctx, w.attempts[0].Charge.Key)
	}},
	{name: "Ledger.RefundsOf", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Ledger().RefundsOf(ctx, w.attempts[3].Charge.Key)
	}},
	{name: "Ledger.Entries", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Ledger().Entries(ctx, 0, 100)
	}},
	{name: "Ledger.Balances", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) { return tx.Ledger().Balances(ctx) }},
	{name: "Finder.Runs", own: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		page, err := tx.Find().Runs(ctx, ports.RunFilter{Template: w.template.ID, FileName: ".TXT", Limit: 100}, ports.Look{})
		return page.Runs, err
	}},
	{name: "Finder.RunsByID", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Find().RunsByID(ctx, []core.RunID{w.running.ID, w.closed.ID})
	}},
	{name: "Finder.Entries", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		page, err := tx.Find().Entries(ctx, ports.EntryFilter{Limit: 100}, ports.Look{})
		return page.Entries, err
	}},
	{name: "WebhookEvents.LowCredits", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.WebhookEvents().LowCredits(ctx)
	}},
	{name: "WebhookEndpoints.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.WebhookEndpoints().Get(ctx, w.endpoints[0].ID)
	}},
	{name: "WebhookEndpoints.List", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.WebhookEndpoints().List(ctx)
	}},
	{name: "WebhookEndpoints.Lock", locks: true, call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.WebhookEndpoints().Lock(ctx, ports.WaitForLock, w.endpoints[0].ID)
	}},
	{name: "WebhookDeliveries.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.WebhookDeliveries().Get(ctx, w.endpoints[0].ID, w.deliveries[0].Event.ID)
	}},
	{name: "WebhookDeliveries.Due", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.WebhookDeliveries().Due(ctx, w.endpoints[0].ID, at(1000), 100)
	}},
	{name: "WebhookDeliveries.List", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: w.endpoints[0].ID, Limit: 100})
	}},
	{name: "APIKeys.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.APIKeys().Get(ctx, w.apiKeys[0].ID)
	}},
	{name: "APIKeys.List", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) { return tx.APIKeys().List(ctx) }},
	{name: "AuditLog.List", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.AuditLog().List(ctx, ports.AuditPage{Limit: 100})
	}},
	{name: "Finder.PurchasedAfter", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Find().PurchasedAfter(ctx, february)
	}},
	{name: "Finder.Templates", own: true, call: func(ctx context.Context, tx ports.Tx, _ *world) (any, error) {
		return tx.Find().Templates(ctx, ports.TemplateFilter{Limit: 100})
	}},
	{name: "Answers.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Answers().Get(ctx, w.answer.Key)
	}},
	{name: "Replies.Get", call: func(ctx context.Context, tx ports.Tx, w *world) (any, error) {
		return tx.Replies().Get(ctx, w.reply.Operation, w.reply.Key)
	}},
}

// writing is a method that writes, called so that it changes what the world has.
type writing struct {
	name string
	// child says that the row belongs to a run, which has to be there.
	child bool
	// insert says that the method adds a row, else it changes one.
	insert bool
	// breaks says that the transaction can only be rolled back after ErrExists.
	breaks bool
	// quiet says that it writes nothing, instead of failing, if there is nothing to write to
	// or it is there already.
	quiet bool
	// removes says that it takes a row away.
	removes bool
	call    func(ctx context.Context, tx ports.Tx, w *world) error
}

// writings has one for each method of ports.Tx that writes, but for
// Tenants.Insert, which a world cannot repeat: see testTenantInsert.
var writings = []writing{
	{name: "Runs.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.Runs().Insert(ctx, w.newRun("new"), w.files)
	}},
	{name: "Runs.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		run, file := w.running, w.files[1]
		run.Redispatches += 3
		file.Redeliveries += 5
		return tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{file}})
	}},
	{name: "Starts.Write", insert: true, breaks: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		run, answer := w.newRun("started"), w.answer
		answer.Key = "started"
		_, err := tx.Starts().Write(ctx, []ports.Start{{New: true, Run: run, Files: w.files, Attempt: w.nextAttempt(run)}}, []core.Answer{answer})
		return err
	}},
	{name: "Attempts.Insert", insert: true, child: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.Attempts().Insert(ctx, w.nextAttempt(w.running))
	}},
	{name: "Attempts.MarkCompensated", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.Attempts().MarkCompensated(ctx, w.running.ID, 1, at(50))
	}},
	{name: "Amendments.Insert", insert: true, child: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		a := w.amendment
		a.At, a.MaxRetryCountFrom, a.MaxRetryCountTo = at(51), 5, 6
		return tx.Amendments().Insert(ctx, a)
	}},
	{name: "Tenants.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		tenant := w.tenant
		tenant.Name += " renamed"
		return tx.Tenants().Save(ctx, tenant)
	}},
	{name: "Templates.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		template := w.template
		template.ID = "template-2"
		return tx.Templates().Insert(ctx, template)
	}},
	{name: "Templates.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		template := w.template
		template.CreditsPerRun++
		return tx.Templates().Save(ctx, template)
	}},
	{name: "TemplateVersions.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		v := w.versions[0]
		v.Number = 3
		return tx.TemplateVersions().Insert(ctx, v)
	}},
	{name: "Ledger.Post", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		_, err := tx.Ledger().Post(ctx, purchase(w.tenant.ID, "client/more", 5))
		return err
	}},
	{name: "APIKeys.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		k := w.apiKeys[0]
		k.ID = "another"
		return tx.APIKeys().Insert(ctx, k)
	}},
	{name: "APIKeys.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		k := w.apiKeys[0]
		k.Name += " renamed"
		return tx.APIKeys().Save(ctx, k)
	}},
	{name: "AuditLog.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		e := w.audit[0]
		e.ID = "another"
		return tx.AuditLog().Insert(ctx, e)
	}},
	{name: "Answers.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		answer := w.answer
		answer.Key = "another"
		return tx.Answers().Insert(ctx, answer)
	}},
	{name: "WebhookEvents.Tell", quiet: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.WebhookEvents().Tell(ctx, core.ClosingEvent(w.closed, false, at(52)))
	}},
	{name: "WebhookEvents.SaveLowCredits", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.WebhookEvents().SaveLowCredits(ctx, core.LowCredits{Threshold: w.low.Threshold - 1})
	}},
	{name: "WebhookEndpoints.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		e := w.endpoints[0]
		e.ID += "-another"
		return tx.WebhookEndpoints().Insert(ctx, e)
	}},
	{name: "WebhookEndpoints.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		e := w.endpoints[0]
		e.Description += " changed"
		return tx.WebhookEndpoints().Save(ctx, e)
	}},
	{name: "WebhookEndpoints.Delete", removes: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.WebhookEndpoints().Delete(ctx, w.endpoints[1].ID)
	}},
	{name: "WebhookDeliveries.Insert", insert: true, breaks: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.WebhookDeliveries().Insert(ctx, core.NewDelivery(w.tenant.ID, w.endpoints[0].ID, core.PingEvent("ping_new", w.endpoints[0], at(53))))
	}},
	{name: "WebhookDeliveries.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		d := w.deliveries[0]
		d.Status, d.DueAt, d.Claim = core.DeliveryDelivered, time.Time{}, d.Claim+1
		return tx.WebhookDeliveries().Save(ctx, d)
	}},
	{name: "Answers.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		answer := w.answer
		answer.Fingerprint += " changed"
		return tx.Answers().Save(ctx, answer)
	}},
	{name: "BulkParts.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		part := w.bulk
		part.Bulk = "bulk-2"
		return tx.BulkParts().Insert(ctx, part, w.bulkRuns[2:])
	}},
	{name: "BulkParts.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		part, run := w.bulk, w.bulkRuns[0]
		part.Fence--
		run.Open, run.FailedFiles = false, 3
		return tx.BulkParts().Save(ctx, part, run)
	}},
	{name: "BulkParts.Delete", quiet: true, removes: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.BulkParts().Delete(ctx, w.bulk.Bulk)
	}},
	{name: "Replies.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		reply := w.reply
		reply.Key = "another"
		return tx.Replies().Insert(ctx, reply)
	}},
	{name: "Replies.Save", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		reply := w.reply
		reply.Fingerprint += " changed"
		return tx.Replies().Save(ctx, reply)
	}},
}

// keys are the answers' keys that the world and the writings use.
func (w *world) keys() []core.Key {
	return []core.Key{w.answer.Key, w.refusal.Key, "another", "started"}
}

// nextAttempt describes a free attempt of a run that the world does not have yet.
func (w *world) nextAttempt(run core.Run) core.Attempt {
	a := continuation(run, run.CreatedBy, core.Split{})
	a.Number, a.Charge, a.Price = 2, core.Charge{}, 0
	a.Files = a.Files[:1]
	return a
}

func purchase(tenant core.TenantID, key core.Key, amount core.Credits) core.Entry {
	return core.Entry{
		Tenant: tenant, Key: key, Kind: core.EntryPurchase, Period: march,
		Amount: core.Split{Purchased: amount}, Actor: core.System, At: at(60),
	}
}

func allowance(tenant core.TenantID, key core.Key, p core.Period, amount core.Credits) core.Entry {
	return core.Entry{
		Tenant: tenant, Key: key, Kind: core.EntryAllowance, Period: p,
		Amount: core.Split{Monthly: amount}, Actor: core.System, At: at(61),
	}
}

// testCoverage fails when a method is added to the ports that the tables above
// do not have: everything that goes over them would silently leave it out.
func testCoverage(t *testing.T, _ Factory, _ Options) {
	var want []string
	tx := reflect.TypeFor[ports.Tx]()
	for i := range tx.NumMethod() {
		part := tx.Method(i).Type.Out(0)
		for j := range part.NumMethod() {
			want = append(want, part.Name()+"."+part.Method(j).Name)
		}
	}
	covered := []string{"Tenants.Insert", "BulkParts.Make"} // which testBulkMade is about
	for _, r := range readings {
		covered = append(covered, r.name)
	}
	for _, w := range writings {
		covered = append(covered, w.name)
	}
	require.ElementsMatch(t, want, covered, "every method of ports.Tx stands once in readings or writings")

	store := reflect.TypeFor[ports.Store]()
	var methods []string
	for i := range store.NumMethod() {
		methods = append(methods, store.Method(i).Name)
	}
	require.ElementsMatch(t, []string{
		"InTx", "View", "TenantOf", "DueRuns", "InterruptedRuns", "Ungranted", "AllTenants", "OpenTenants", "APIKey", "TouchAPIKey", "SweepAPIKeys", "AuditEvents", "Forget",
		"BulkContinues", "DueEndpoints", "SweepDeliveries",
	}, methods,
		"a new method of ports.Store needs tests, and its place here")
}
