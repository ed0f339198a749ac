package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testRoundTrips: what is written is read back, every field of it, in UTC.
func testRoundTrips(t *testing.T, newStore Factory, _ Options) {
	t.Run("FixturesFillEveryField", func(t *testing.T) {
		t.Parallel()
		w := newWorld("acme")
		for _, kind := range []struct {
			values  []any
			missing []string // which no row of the fixture can have
		}{
			{values: []any{w.tenant}},
			{values: []any{w.template}},
			{values: []any{w.running, w.closed}},
			{values: []any{w.files}},
			{values: []any{w.attempts}},
			{values: []any{w.amendment}},
			{values: []any{w.entries}},
			{values: []any{w.low}},
			{values: []any{w.endpoints}},
			{values: []any{w.deliveries}},
			{values: []any{w.answer, w.refusal}, missing: []string{"Refusal.Err"}}, // a cause is for logs, it is not kept
		} {
			values := make([]reflect.Value, len(kind.values))
			for i, v := range kind.values {
				values[i] = reflect.ValueOf(v)
			}
			equal(t, kind.missing, unfilled(values, ""), "fields of %T that no round trip would test", kind.values[0])
		}
	})

	t.Run("Inserted", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		equal(t, w.contents(), MustRead(t, s, "acme", w.keys()...))
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			got, err := readAll(ctx, tx, w.keys())
			require.NoError(t, err)
			equal(t, w.contents(), got, "read in a transaction")
			return nil
		})
	})

	t.Run("ReadOneByOne", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for _, run := range []core.Run{w.running, w.closed} {
				same(t, run)(tx.Runs().Get(ctx, run.ID))
				same(t, run)(ports.LockRun(ctx, tx, run.ID))
			}
			for _, a := range w.attempts {
				same(t, a)(tx.Attempts().Get(ctx, a.Run, a.Number))
			}
			for _, e := range w.entries {
				same(t, e)(tx.Ledger().Entry(ctx, e.Key))
			}
			for _, a := range []core.Answer{w.answer, w.refusal} {
				same(t, a)(tx.Answers().Get(ctx, a.Key))
			}
			same(t, w.reply)(tx.Replies().Get(ctx, w.reply.Operation, w.reply.Key))
			same(t, w.tenant)(tx.Tenants().Get(ctx))
			same(t, w.template)(tx.Templates().Get(ctx, w.template.ID))
			same(t, w.template)(tx.Templates().GetForUpdate(ctx, w.template.ID))
			planned := slices.Clone(w.files)
			for i := range planned {
				planned[i].Output = "" // which plans do not read
			}
			same(t, planned)(tx.Files().ByIndex(ctx, w.running.ID, []int{0, 1, 2, 3, 4, 5}))
			for _, k := range w.apiKeys {
				same(t, k)(tx.APIKeys().Get(ctx, k.ID))
			}
			for _, v := range w.versions {
				same(t, v)(tx.TemplateVersions().Get(ctx, v.Template, v.Number))
			}
			return nil
		})
		owner, err := s.TenantOf(bounded(t), w.closed.ID)
		require.NoError(t, err)
		equal(t, w.tenant.ID, owner)
	})

	t.Run("Saved", func(t *testing.T) { testSaved(t, newStore) })
	t.Run("SeqIsGivenBack", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for seq := int64(1); seq <= 3; seq++ {
				want := purchase("acme", core.Key(fmt.Sprint("client/", seq)), 5)
				posted, err := tx.Ledger().Post(ctx, want)
				require.NoError(t, err)
				want.Seq = seq
				equal(t, want, posted)
			}
			return nil
		})
	})
	t.Run("NotAliased", func(t *testing.T) { testNotAliased(t, newStore) })
}

// testSaved: a Save sets every field that a use case can change, and clears it again.
func testSaved(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")

	run := w.running // from running to closed, and back
	run.Status, run.Reason, run.ClosedAt, run.RecoverAt = core.RunFailed, core.ReasonRedeliveriesExhausted, at(70), time.Time{}
	run.MaxRetryCount, run.Attempt, run.Epoch, run.Dispatch, run.LastRetriedAt = 10, 9, 8, core.DispatchUnconfirmed, time.Time{}
	run.TotalJobs, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = 6, 4, 0, 4
	run.Tally = core.Tally{Completed: 1, Failed: 2, Error: 3}
	run.CreditsConsumed, run.CreditsFromMonthly, run.CreditsFromPurchased = 0, 0, 0
	run.DispatchedAt, run.Redispatches = time.Time{}, 0
	run.TemplateVersion, run.Failure = 7, core.Failure{}
	files := filesOf("changed")
	for i := range files {
		// What a file is called and where its content is never change.
		files[i].Name, files[i].Ref, files[i].Size = w.files[i].Name, w.files[i].Ref, w.files[i].Size
		files[i].RetryAttempt, files[i].FreeRetries, files[i].Redeliveries, files[i].Epoch, files[i].PaidBy = 13, 4, 0, 1, 0
		files[i].OutputBytes, files[i].Status, files[i].Output, files[i].Failure, files[i].LeaseUntil = 0, core.FilePending, "", core.Failure{}, time.Time{}
	}
	template := w.template
	template.Name, template.Instructions, template.CreditsPerRun = "x", "", 0
	template.Version = 3
	template.Status, template.UpdatedAt, template.DeletedAt = core.TemplateDraft, at(71), time.Time{}
	tenant := w.tenant
	tenant.Name, tenant.MonthlyAllowance = "renamed", 0
	answer := w.refusal
	answer.Refusal, answer.Run = nil, w.running
	reply := w.reply
	reply.Fingerprint, reply.Result, reply.Refusal, reply.At = "changed", nil, nil, at(72)

	changed := w.contents()
	changed.Tenant, changed.Templates = &tenant, []core.Template{template}
	changed.Runs = []core.Run{run, w.closed}
	changed.Files[run.ID] = files
	changed.Answers[answer.Key] = answer
	changed.Replies[reply.Key] = reply
	save := func(c Contents) {
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.Tenants().Save(ctx, *c.Tenant))
			require.NoError(t, tx.Templates().Save(ctx, c.Templates[0]))
			require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: c.Runs[0]}))
			require.NoError(t, tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: c.Files[run.ID], FilesOnly: true}))
			require.NoError(t, tx.Replies().Save(ctx, c.Replies[reply.Key]))
			return tx.Answers().Save(ctx, c.Answers[answer.Key])
		})
		equal(t, c, MustRead(t, s, "acme", w.keys()...))
	}
	save(changed)
	save(w.contents())

	// Only the files that are given are written.
	one := w.files[3]
	one.Redeliveries = 77
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		return tx.Runs().Save(ctx, ports.RunRows{Run: run, Files: []core.File{one}, FilesOnly: true})
	})
	want := w.contents()
	want.Files[run.ID] = append([]core.File(nil), w.files...)
	want.Files[run.ID][3] = one
	equal(t, want, MustRead(t, s, "acme", w.keys()...))

	at := time.Date(2027, 1, 1, 0, 0, 0, 1000, time.UTC)
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		return tx.Attempts().MarkCompensated(ctx, run.ID, 0, at)
	})
	want.Attempts[run.ID][0].CompensatedAt = at
	equal(t, want, MustRead(t, s, "acme", w.keys()...), "nothing else of an attempt changes")
}

// testNotAliased: what a store was given or has given belongs to the caller,
// who may change it afterwards.
func testNotAliased(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	want := newWorld("acme").contents()
	spoil := func(c Contents) {
		for _, files := range c.Files {
			files[0].Name = "spoilt"
		}
		for _, attempts := range c.Attempts {
			attempts[0].Files[0].Index = 99
			attempts[0].Price = 99
		}
		c.Audit[1].Facts["amount"] = "spoilt"
		c.Answers["refused"].Refusal.Message = "spoilt"
		c.Answers["refused"].Refusal.Files[0] = 99
		c.Answers["refused"].Refusal.Fields[0].Message = "spoilt"
		c.Replies[w.reply.Key].Result[0] = 'x'
		c.Replies[w.reply.Key].Refusal.Files[0] = 99
	}
	spoil(w.contents())
	equal(t, want, MustRead(t, s, "acme", w.keys()...), "what was inserted was changed by the caller afterwards")
	spoil(MustRead(t, s, "acme", w.keys()...))
	equal(t, want, MustRead(t, s, "acme", w.keys()...), "what was read was changed by the caller afterwards")
}

// contents is the world as Read must give it.
func (w *world) contents() Contents {
	return Contents{
		Tenant: &w.tenant, Templates: []core.Template{w.template}, APIKeys: w.apiKeys, Runs: []core.Run{w.running, w.closed},
		Versions:   map[core.TemplateID][]core.TemplateVersion{w.template.ID: w.versions},
		Files:      map[core.RunID][]core.File{w.running.ID: w.files, w.closed.ID: w.files},
		Attempts:   map[core.RunID][]core.Attempt{w.running.ID: w.attempts[:2], w.closed.ID: w.attempts[2:]},
		Amendments: map[core.RunID][]core.Amendment{w.running.ID: nil, w.closed.ID: {w.amendment}},
		Entries:    w.entries,
		Audit:      w.audit,
		// 1000 + 500 less the charges, with the last one refunded, and a part of another.
		Balances: []core.Balance{{Period: march, Split: core.Split{Monthly: 1000 - 23 + 5, Purchased: 500 - 3}}},
		Answers:  map[core.Key]core.Answer{w.answer.Key: w.answer, w.refusal.Key: w.refusal},
		BulkRuns: map[core.BulkID][]core.BulkRun{w.bulk.Bulk: w.bulkRuns},
		Replies:  map[core.Key]core.Reply{w.reply.Key: w.reply},
		Low:      w.low, Endpoints: w.endpoints, Deliveries: w.deliveries,
	}
}

// same checks the answer of a method against what it should be.
func same[T any](t *testing.T, want T) func(got T, err error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		require.NoError(t, err)
		equal(t, want, got)
	}
}

// unfilled names the fields that have their zero value in all of the values.
func unfilled(values []reflect.Value, path string) []string {
	if len(values) == 0 {
		return []string{path}
	}
	kind := values[0].Kind()
	if _, isTime := values[0].Interface().(time.Time); isTime {
		kind = reflect.Int64 // a time is one value and not the fields it is made of
	}
	var inner []reflect.Value
	switch kind {
	case reflect.Struct:
		var names []string
		for i := range values[0].NumField() {
			fields := make([]reflect.Value, len(values))
			for j, v := range values {
				fields[j] = v.Field(i)
			}
			name := values[0].Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			names = append(names, unfilled(fields, name)...)
		}
		return names
	case reflect.Slice:
		for _, v := range values {
			for i := range v.Len() {
				inner = append(inner, v.Index(i))
			}
		}
		return unfilled(inner, path)
	case reflect.Pointer:
		for _, v := range values {
			if !v.IsNil() {
				inner = append(inner, v.Elem())
			}
		}
		return unfilled(inner, path)
	default:
		for _, v := range values {
			if !v.IsZero() {
				return nil
			}
		}
		return []string{path}
	}
}
