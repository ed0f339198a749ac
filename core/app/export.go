package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"iter"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// exportFiles is how many files are read at a time, those with short outputs whole.
	exportFiles = 200
	// attemptPage is how many files of an attempt are read at a time.
	attemptPage = 1000
	// exportOutput is the longest output that is read together with others, in bytes.
	exportOutput = 32 << 10
	// exportBytes is how much output one record of files has before the next begins.
	exportBytes = 4 << 20
)

// movable is a store whose tenants can be moved.
type movable interface {
	ports.Store
	ports.Mover
}

// exportTenant gives everything that a tenant owns, in the order of ports.Record. It reads
// many short snapshots, so the tenant must be closed: nothing changes meanwhile. It keeps a
// page of runs, or of files, at a time.
func exportTenant(ctx context.Context, store movable, tenant core.TenantID) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		e := exporting{ctx: ctx, store: store, tenant: tenant, yield: yield}
		for _, part := range []func() error{e.account, e.runs, e.ledger, e.answers, e.replies, e.auditLog, e.webhooks} {
			if err := part(); err != nil {
				if !errors.Is(err, errEnough) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// errEnough: who asked wants no more records.
var errEnough = errors.New("enough")

type exporting struct {
	ctx    context.Context //nolint:containedctx // of one call
	store  movable
	tenant core.TenantID
	yield  func(ports.Record, error) bool
}

func (e *exporting) give(r ports.Record) error {
	if !e.yield(r, nil) {
		return errEnough
	}
	return nil
}

func (e *exporting) view(fn func(ports.Tx) error) error { return e.store.View(e.ctx, e.tenant, fn) }

func giveAll[T any](e *exporting, list []T) error {
	return eachOf(func(r T) error { return e.give(r) })(list)
}

// account gives the tenant, its templates and their versions, the newest first.
func (e *exporting) account() error {
	var tenant core.Tenant
	var templates []core.Template
	if err := e.view(func(tx ports.Tx) (err error) {
		if tenant, err = tx.Tenants().Get(e.ctx); err != nil {
			return notFound(err, tenantNotFound(e.tenant))
		}
		templates, err = tx.Templates().List(e.ctx)
		return err
	}); err != nil {
		return err
	}
	if err := e.give(tenant); err != nil {
		return err
	}
	if err := giveAll(e, templates); err != nil {
		return err
	}
	for _, t := range templates {
		if err := eachPage(exportFiles, func(last core.TemplateVersion) ([]core.TemplateVersion, error) {
			return viewed(e.ctx, e.store, e.tenant, func(tx ports.Tx) ([]core.TemplateVersion, error) {
				return tx.TemplateVersions().List(e.ctx, t.ID, last.Number, exportFiles)
			})
		}, func(page []core.TemplateVersion) error { return giveAll(e, page) }); err != nil {
			return err
		}
	}
	return e.apiKeys()
}

// apiKeys gives the API keys, which are few.
func (e *exporting) apiKeys() error {
	var keys []core.APIKey
	if err := e.view(func(tx ports.Tx) (err error) {
		keys, err = tx.APIKeys().List(e.ctx)
		return err
	}); err != nil || len(keys) == 0 {
		return err
	}
	return e.give(keys)
}

// runs gives each run with what belongs to it, the newest first.
func (e *exporting) runs() error {
	return eachRun(ports.RunFilter{Limit: exportFiles}, runPages(e.ctx, e.store, e.tenant), e.run)
}

func (e *exporting) run(run core.Run) error {
	if err := e.give(run); err != nil {
		return err
	}
	if err := e.files(run.ID); err != nil {
		return err
	}
	for n := core.AttemptNumber(0); n <= run.Attempt; n++ {
		if err := e.attempt(run.ID, n); err != nil {
			return err
		}
	}
	var amendments []core.Amendment
	if err := e.view(func(tx ports.Tx) (err error) {
		amendments, err = tx.Amendments().List(e.ctx, run.ID)
		return err
	}); err != nil {
		return err
	}
	return giveAll(e, amendments)
}

// attempt gives an attempt, in records that have a bounded size.
func (e *exporting) attempt(run core.RunID, n core.AttemptNumber) error {
	a, err := e.store.AttemptFrom(e.ctx, e.tenant, run, n, 0, attemptPage)
	if errors.Is(err, ports.ErrNotFound) {
		return nil // of a run that was written by other means
	}
	if err != nil {
		return err
	}
	if len(a.Files) < attemptPage {
		return e.give(a)
	}
	long, from := ports.LongAttempt{Attempt: a}, 0
	long.Files = nil
	err = e.attemptFiles(run, n, func(page []core.AttemptFile) error {
		if a.Files = page; !a.OfAllFiles(from) {
			return errEnough
		}
		from += len(page)
		return nil
	})
	switch {
	case err == nil:
		long.All = from
		return e.give(long)
	case !errors.Is(err, errEnough):
		return err
	}
	if err := e.give(long); err != nil {
		return err
	}
	return e.attemptFiles(run, n, func(page []core.AttemptFile) error { return e.give(page) })
}

// attemptFiles reads the files of an attempt, page by page.
func (e *exporting) attemptFiles(run core.RunID, n core.AttemptNumber, do func(page []core.AttemptFile) error) error {
	from := 0
	return eachPage(attemptPage, func(core.AttemptFile) ([]core.AttemptFile, error) {
		a, err := e.store.AttemptFrom(e.ctx, e.tenant, run, n, from, attemptPage)
		return a.Files, err
	}, func(page []core.AttemptFile) error {
		from = page[len(page)-1].Index + 1
		return do(page)
	})
}

// files gives a run's files in records that have a bounded size, but for a single output.
func (e *exporting) files(run core.RunID) error {
	var record []core.File
	bytes := int64(0)
	flush := func() error {
		if len(record) == 0 {
			return nil
		}
		full := record
		record, bytes = nil, 0
		return e.give(full)
	}
	for from := 0; ; {
		var page []core.File
		if err := e.view(func(tx ports.Tx) (err error) {
			page, err = tx.FileViews().Page(e.ctx, run, ports.FileFilter{From: from, Limit: exportFiles, OutputBytes: exportOutput})
			return err
		}); err != nil {
			return err
		}
		for _, f := range page {
			if f.OutputBytes > int64(len(f.Output)) {
				if err := e.view(func(tx ports.Tx) (err error) {
					f, err = tx.FileViews().Output(e.ctx, run, f.Index)
					return err
				}); err != nil {
					return err
				}
			}
			record, bytes = append(record, f), bytes+f.OutputBytes
			if bytes >= exportBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			from = f.Index + 1
		}
		if err := flush(); err != nil || len(page) < exportFiles {
			return err
		}
	}
}

// givePages gives a list in records of a page each. read reads up to limit after the last
// one before.
func givePages[T any](e *exporting, limit int, read func(tx ports.Tx, last T) ([]T, error)) error {
	return eachPage(limit, func(last T) ([]T, error) {
		return viewed(e.ctx, e.store, e.tenant, func(tx ports.Tx) ([]T, error) { return read(tx, last) })
	}, func(page []T) error { return e.give(page) })
}

func (e *exporting) ledger() error {
	if err := givePages(e, ledgerPage, func(tx ports.Tx, last core.Entry) ([]core.Entry, error) {
		return tx.Ledger().Entries(e.ctx, last.Seq, ledgerPage)
	}); err != nil {
		return err
	}
	var balances []core.Balance
	if err := e.view(func(tx ports.Tx) (err error) {
		balances, err = tx.Ledger().Balances(e.ctx)
		return err
	}); err != nil {
		return err
	}
	return e.give(balances)
}

func (e *exporting) answers() error {
	return eachPage(exportFiles, func(last core.Answer) ([]core.Answer, error) {
		return e.store.AnswersAfter(e.ctx, e.tenant, last.Key, exportFiles)
	}, func(page []core.Answer) error { return e.give(page) })
}

func (e *exporting) replies() error {
	return eachPage(exportFiles, func(last core.Reply) ([]core.Reply, error) {
		return e.store.RepliesAfter(e.ctx, e.tenant, last.Operation, last.Key, exportFiles)
	}, func(page []core.Reply) error { return e.give(page) })
}

// webhooks gives the endpoints and what is pending for them. What was delivered or given up
// is a log, which stays.
func (e *exporting) webhooks() error {
	var low core.LowCredits
	var endpoints []core.WebhookEndpoint
	if err := e.view(func(tx ports.Tx) (err error) {
		if low, err = tx.WebhookEvents().LowCredits(e.ctx); err != nil {
			return err
		}
		endpoints, err = tx.WebhookEndpoints().List(e.ctx)
		return err
	}); err != nil {
		return err
	}
	if err := e.give(low); err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		if err := e.give(endpoint); err != nil {
			return err
		}
		if err := givePages(e, exportFiles, func(tx ports.Tx, last core.WebhookDelivery) ([]core.WebhookDelivery, error) {
			return tx.WebhookDeliveries().List(e.ctx, ports.DeliveryFilter{
				Endpoint: endpoint.ID, Status: core.DeliveryPending,
				Before: ports.DeliveryCursor{At: last.Event.At, ID: last.Event.ID}, Limit: exportFiles,
			})
		}); err != nil {
			return err
		}
	}
	return nil
}

// auditLog gives the audit log, the latest event first.
func (e *exporting) auditLog() error {
	return givePages(e, exportFiles, func(tx ports.Tx, last core.AuditEvent) ([]core.AuditEvent, error) {
		return tx.AuditLog().List(e.ctx, ports.AuditPage{Before: ports.AuditCursorOf(last), Limit: exportFiles})
	})
}

// MoveCounts is how much a tenant owns.
type MoveCounts struct {
	Templates, Versions, APIKeys, Runs, Files, Attempts, AttemptFiles, Amendments, Entries, Balances, Answers, Replies, AuditEvents int

	Endpoints, Deliveries int // of webhooks
	OutputBytes           int64
}

// String says it in words, for operators.
func (n MoveCounts) String() string {
	return fmt.Sprintf("%d templates, %d versions, %d API keys, %d runs, %d files, %d output bytes, %d attempts of %d files, %d amendments, %d ledger entries, %d balances, %d answers and %d replies under idempotency keys, %d audit events, %d webhook endpoints with %d events to be sent",
		n.Templates, n.Versions, n.APIKeys, n.Runs, n.Files, n.OutputBytes, n.Attempts, n.AttemptFiles,
		n.Amendments, n.Entries, n.Balances, n.Answers, n.Replies, n.AuditEvents, n.Endpoints, n.Deliveries)
}

// inventory counts records as they pass, and has a checksum of them: two sides with the same
// checksum own the same, down to the last field.
type inventory struct {
	MoveCounts

	sum hash.Hash
	to  *json.Encoder
}

func newInventory() *inventory {
	sum := sha256.New()
	return &inventory{sum: sum, to: json.NewEncoder(sum)}
}

func (i *inventory) add(r ports.Record) error {
	switch r := r.(type) {
	case core.Tenant:
		return i.to.Encode(r)
	case core.Template:
		i.Templates++
		return i.to.Encode(r)
	case core.TemplateVersion:
		i.Versions++
		return i.to.Encode(r)
	case []core.APIKey:
		i.APIKeys += len(r)
		return encodeEach(i.to, r)
	case core.Run:
		i.Runs++
		return i.to.Encode(r)
	case []core.File:
		i.Files += len(r)
		for j := range r {
			i.OutputBytes += r[j].OutputBytes
		}
		return encodeEach(i.to, r) // one by one: records may be cut at other places
	case core.Attempt:
		i.Attempts++
		i.AttemptFiles += len(r.Files)
		files := r.Files
		r.Files = nil
		return errors.Join(i.to.Encode(r), encodeEach(i.to, files))
	case ports.LongAttempt: // as if it were one with its files
		i.Attempts++
		err := i.to.Encode(r.Attempt)
		for from := 0; from < r.All && err == nil; from += attemptPage {
			err = i.add(core.AllFiles(from, min(attemptPage, r.All-from), r.Price > 0))
		}
		return err
	case []core.AttemptFile:
		i.AttemptFiles += len(r)
		return encodeEach(i.to, r)
	case core.Amendment:
		i.Amendments++
		return i.to.Encode(r)
	case []core.Entry:
		i.Entries += len(r)
		return encodeEach(i.to, r)
	case []core.Balance:
		i.Balances += len(r)
		return encodeEach(i.to, r)
	case []core.Answer:
		i.Answers += len(r)
		return encodeEach(i.to, r)
	case []core.Reply:
		i.Replies += len(r)
		return encodeEach(i.to, r)
	case core.LowCredits:
		return i.to.Encode(r)
	case core.WebhookEndpoint:
		i.Endpoints++
		return i.to.Encode(r) //nolint:gosec // into a checksum
	case []core.WebhookDelivery:
		i.Deliveries += len(r)
		return encodeEach(i.to, r)
	case []core.AuditEvent:
		i.AuditEvents += len(r)
		return encodeEach(i.to, r)
	default:
		return fmt.Errorf("app: %T is no record of a tenant", r)
	}
}

func encodeEach[T any](to *json.Encoder, list []T) error {
	for i := range list {
		if err := to.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (i *inventory) checksum() string { return fmt.Sprintf("%x", i.sum.Sum(nil)) }

// passing adds records to an inventory as they go by.
func (i *inventory) passing(records iter.Seq2[ports.Record, error]) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		for r, err := range records {
			if err == nil {
				err = i.add(r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// take reads all records.
func (i *inventory) take(records iter.Seq2[ports.Record, error]) error {
	for _, err := range i.passing(records) {
		if err != nil {
			return err
		}
	}
	return nil
}
