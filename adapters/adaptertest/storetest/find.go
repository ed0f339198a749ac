package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func testFind(t *testing.T, newStore Factory, _ Options) {
	t.Run("Runs", func(t *testing.T) { testFindRuns(t, newStore) })
	t.Run("RunsByID", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		other := build(t, s, "beta")
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			empty(t)(tx.Find().RunsByID(ctx, nil))
			empty(t)(tx.Find().RunsByID(ctx, []core.RunID{"ghost", other.running.ID, "\x00", "\xff"}))
			got, err := tx.Find().RunsByID(ctx, []core.RunID{w.closed.ID, "ghost", w.running.ID, w.closed.ID, other.closed.ID})
			require.NoError(t, err)
			require.ElementsMatch(t, []core.Run{w.running, w.closed}, got)
			return nil
		})
	})
	t.Run("Entries", func(t *testing.T) { testFindEntries(t, newStore) })
	t.Run("Templates", func(t *testing.T) { testFindTemplates(t, newStore) })
	t.Run("InterruptedRuns", func(t *testing.T) { testInterruptedRuns(t, newStore) })
}

// sought stores many runs that differ in what can be looked for, newest first.
func sought(t *testing.T, s ports.Store, tenant core.TenantID) (all []core.Run, files map[core.RunID][]core.File) {
	t.Helper()
	w := newWorld(tenant)
	files = map[core.RunID][]core.File{}
	commit(t, s, tenant, func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Tenants().Insert(ctx, w.tenant))
		for _, id := range []core.TemplateID{"often", "seldom"} {
			template := w.template
			template.ID = id
			require.NoError(t, tx.Templates().Insert(ctx, template))
		}
		for i := range 40 {
			run := w.running
			run.ID = core.RunID(fmt.Sprintf("%s-%02d", tenant, i))
			run.CreatedAt = base.Add(time.Duration(i/2) * time.Hour) // two at a time
			run.CreatedBy.Subject = "ada"
			run.Template = "often"
			if i%7 == 0 {
				run.Template = "seldom"
			}
			if i%5 == 0 {
				run.CreatedBy.Subject = "bob"
			}
			list := make([]core.File, 1+i%4)
			for n := range list {
				list[n] = core.File{Index: n, Name: fmt.Sprintf("Invoice %d of %d.PDF", n, i), Ref: "r", Size: 1, Status: core.FilePending, Epoch: 1}
			}
			if i%6 == 0 {
				list[len(list)-1].Name = fmt.Sprintf(`100%% of_%d\Ñandú.txt`, i)
			}
			status := []core.RunStatus{core.RunRunning, core.RunInterrupted, core.RunCompleted}[i%3]
			if status == core.RunCompleted {
				for n := range list {
					list[n].Status = core.FileCompleted
				}
			}
			run.Status, run.Failure, run.Tally = status, core.Failure{}, core.TallyOf(list)
			run.TotalJobs, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = len(list), 0, 0, 0
			if status != core.RunRunning {
				run.ClosedAt, run.RecoverAt = at(1000), time.Time{}
			}
			require.NoError(t, tx.Runs().Insert(ctx, run, list))
			all, files[run.ID] = append(all, run), list
		}
		return nil
	})
	slices.Reverse(all)
	return all, files
}

func testFindRuns(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	all, files := sought(t, s, "acme")
	sought(t, s, "other") // the same things, a tenant further
	named := func(part string) func(core.Run) bool {
		return func(r core.Run) bool {
			return slices.ContainsFunc(files[r.ID], func(f core.File) bool {
				return strings.Contains(strings.ToLower(f.Name), strings.ToLower(part))
			})
		}
	}
	noon := base.Add(5 * time.Hour)
	filters := map[string]struct {
		filter ports.RunFilter
		wanted func(core.Run) bool
	}{
		"everything":    {ports.RunFilter{}, func(core.Run) bool { return true }},
		"one status":    {ports.RunFilter{Statuses: []core.RunStatus{core.RunCompleted}}, func(r core.Run) bool { return r.Status == core.RunCompleted }},
		"two statuses":  {ports.RunFilter{Statuses: []core.RunStatus{core.RunCompleted, core.RunInterrupted}}, func(r core.Run) bool { return r.Status != core.RunRunning }},
		"template":      {ports.RunFilter{Template: "seldom"}, func(r core.Run) bool { return r.Template == "seldom" }},
		"a stranger":    {ports.RunFilter{CreatedBy: "eve"}, func(core.Run) bool { return false }},
		"impossible":    {ports.RunFilter{Template: "\x00", CreatedBy: "\xff"}, func(core.Run) bool { return false }},
		"who":           {ports.RunFilter{CreatedBy: "bob"}, func(r core.Run) bool { return r.CreatedBy.Subject == "bob" }},
		"since":         {ports.RunFilter{CreatedFrom: noon}, func(r core.Run) bool { return !r.CreatedAt.Before(noon) }},
		"until":         {ports.RunFilter{CreatedTo: noon}, func(r core.Run) bool { return r.CreatedAt.Before(noon) }},
		"one hour":      {ports.RunFilter{CreatedFrom: noon, CreatedTo: noon.Add(time.Hour), CreatedBy: "ada"}, func(r core.Run) bool { return r.CreatedAt.Equal(noon) && r.CreatedBy.Subject == "ada" }},
		"file":          {ports.RunFilter{FileName: "invoice 3 OF"}, named("invoice 3 of")},
		"exact capital": {ports.RunFilter{FileName: "Ñandú"}, named("Ñandú")},
		"percent":       {ports.RunFilter{FileName: "0% of"}, named("0% of")},
		"underline":     {ports.RunFilter{FileName: "of_"}, named("of_")},
		"backslash":     {ports.RunFilter{FileName: `\`}, named(`\`)},
		"no file":       {ports.RunFilter{FileName: "i_voice"}, func(core.Run) bool { return false }},
		"together": {
			ports.RunFilter{Statuses: []core.RunStatus{core.RunRunning, core.RunCompleted}, Template: "often", CreatedBy: "ada", FileName: "pdf", CreatedFrom: base.Add(time.Hour)},
			func(r core.Run) bool {
				return r.Status != core.RunInterrupted && r.Template == "often" && r.CreatedBy.Subject == "ada" && named("pdf")(r) && !r.CreatedAt.Before(base.Add(time.Hour))
			},
		},
		"one status of a template": {
			ports.RunFilter{Statuses: []core.RunStatus{core.RunInterrupted}, Template: "seldom"},
			func(r core.Run) bool { return r.Status == core.RunInterrupted && r.Template == "seldom" },
		},
	}
	check := func(ctx context.Context, tx ports.Tx, all []core.Run) {
		t.Helper()
		for name, c := range filters {
			want := slices.DeleteFunc(slices.Clone(all), func(r core.Run) bool { return !c.wanted(r) })
			for _, limit := range []int{1, 3, len(all), len(all) + 1} {
				for _, look := range []ports.Look{{}, {Runs: 1}, {Runs: 7}, {Files: 1}, {Files: 9}, {Runs: len(all)}} {
					var got []core.Run
					c.filter.Limit, c.filter.Before = limit, ports.RunCursor{}
					for pages := 0; ; pages++ {
						require.LessOrEqual(t, pages, len(all)+1, "%s: the search goes on", name)
						page, err := tx.Find().Runs(ctx, c.filter, look)
						require.NoError(t, err)
						require.LessOrEqual(t, len(page.Runs), limit)
						got = append(got, page.Runs...)
						if page.Next == (ports.RunCursor{}) {
							break
						}
						c.filter.Before = page.Next
					}
					equal(t, orNil(want), orNil(got), "%s by pages of %d, looking at %+v", name, limit, look)
				}
			}
			// A page that has everything says that there is no other.
			c.filter.Before, c.filter.Limit = ports.RunCursor{}, max(len(want), 1)
			page, err := tx.Find().Runs(ctx, c.filter, ports.Look{})
			require.NoError(t, err)
			require.Zero(t, page.Next, name)
			c.filter.Limit = 100
			if list, err := tx.Runs().List(ctx, c.filter); c.filter.Searches() {
				require.ErrorIs(t, err, ports.ErrSearch, name)
			} else {
				require.NoError(t, err)
				equal(t, want, list, name)
			}
		}
	}
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { check(ctx, tx, all); return nil })

	// What the transaction itself wrote is among what it finds.
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		own := all[len(all)-1]
		own.ID, own.CreatedAt, own.Status, own.CreatedBy.Subject = "own", base.Add(100*time.Hour), core.RunRunning, "bob"
		own.RecoverAt, own.ClosedAt, own.Tally, own.TotalJobs = at(9), time.Time{}, core.Tally{Unfinished: 1}, 1
		files[own.ID] = []core.File{{Name: "Invoice 3 of own", Ref: "r", Status: core.FilePending, Epoch: 1}}
		require.NoError(t, tx.Runs().Insert(ctx, own, files[own.ID]))
		check(ctx, tx, slices.Concat([]core.Run{own}, all))
		return nil
	})
}

func testFindEntries(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := account(t, s, "acme")
	post(t, s, allowance("acme", "a/3", march, 1000), purchase("acme", "client/p", 500))
	for i := range 9 {
		post(t, s, purchase("acme", core.Key(fmt.Sprint("client/", i)), 1), allowance("acme", core.Key(fmt.Sprint("more/", i)), april, 1))
	}
	for _, a := range w.attempts {
		post(t, s, chargeOf(a))
	}
	post(t, s, refundOf(w.attempts[3], at(31)))
	beta := account(t, s, "beta")
	post(t, s, allowance("beta", "a/3", march, 1000), purchase("beta", "client/p", 500), chargeOf(beta.attempts[0]))

	all := MustRead(t, s, "acme").Entries
	slices.Reverse(all)
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for name, c := range map[string]struct {
			filter ports.EntryFilter
			wanted func(core.Entry) bool
		}{
			"everything": {ports.EntryFilter{}, func(core.Entry) bool { return true }},
			"kind":       {ports.EntryFilter{Kinds: []core.EntryKind{core.EntryCharge}}, func(e core.Entry) bool { return e.Kind == core.EntryCharge }},
			"kinds": {ports.EntryFilter{Kinds: []core.EntryKind{core.EntryPurchase, core.EntryRefund}}, func(e core.Entry) bool {
				return e.Kind == core.EntryPurchase || e.Kind == core.EntryRefund
			}},
			"period":       {ports.EntryFilter{Period: april}, func(e core.Entry) bool { return e.Period == april }},
			"other period": {ports.EntryFilter{Period: february}, func(core.Entry) bool { return false }},
			"run":          {ports.EntryFilter{Run: w.closed.ID}, func(e core.Entry) bool { return e.Run == w.closed.ID }},
			"refund of run": {ports.EntryFilter{Run: w.closed.ID, Kinds: []core.EntryKind{core.EntryRefund}, Period: march}, func(e core.Entry) bool {
				return e.Run == w.closed.ID && e.Kind == core.EntryRefund
			}},
			"a stranger's run": {ports.EntryFilter{Run: beta.running.ID}, func(core.Entry) bool { return false }},
			"no run":           {ports.EntryFilter{Run: "\x00"}, func(core.Entry) bool { return false }},
		} {
			want := slices.DeleteFunc(slices.Clone(all), func(e core.Entry) bool { return !c.wanted(e) })
			for _, limit := range []int{1, 4, len(all), len(all) + 1} {
				for _, look := range []ports.Look{{}, {Entries: 1}, {Entries: 5}, {Entries: len(all)}} {
					var got []core.Entry
					c.filter.Limit, c.filter.Before = limit, 0
					for pages := 0; ; pages++ {
						require.LessOrEqual(t, pages, len(all)+1, "%s: the search goes on", name)
						page, err := tx.Find().Entries(ctx, c.filter, look)
						require.NoError(t, err)
						require.LessOrEqual(t, len(page.Entries), limit)
						got = append(got, page.Entries...)
						if page.Next == 0 {
							break
						}
						c.filter.Before = page.Next
					}
					equal(t, orNil(want), orNil(got), "%s by pages of %d, looking at %+v", name, limit, look)
				}
			}
		}
		return nil
	})
}

func testInterruptedRuns(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	var want []ports.RunKey
	for i, id := range []core.TenantID{"acme", "beta"} {
		_, template := bare(t, s, id)
		w := newWorld(id)
		commit(t, s, id, func(ctx context.Context, tx ports.Tx) error {
			insert := func(name string, status core.RunStatus, reason core.CloseReason, closed time.Time) ports.RunKey {
				run := w.closed
				run.ID, run.Template, run.Status, run.Reason, run.ClosedAt = core.RunID(string(id)+"-"+name), template.ID, status, reason, closed
				if status == core.RunRunning {
					run.RecoverAt = at(1)
				}
				if reason != core.ReasonServiceFault {
					run.Failure = core.Failure{}
				}
				files := w.files
				if status == core.RunFailed {
					files = slices.Clone(w.files[4:5])
					files[0].Index = 0
					run.Tally, run.TotalJobs, run.AttemptJobs, run.CompletedJobs, run.FailedJobs = core.TallyOf(files), 1, 1, 0, 1
				}
				require.NoError(t, tx.Runs().Insert(ctx, run, files))
				return ports.RunKey{Tenant: id, Run: run.ID}
			}
			insert("cancelled", core.RunInterrupted, core.ReasonCancelled, at(50))
			insert("running", core.RunRunning, core.ReasonNone, time.Time{})
			insert("failed", core.RunFailed, core.ReasonNone, at(51))
			want = append(want, insert("late", core.RunInterrupted, core.ReasonRedeliveriesExhausted, at(60-i)),
				insert("early", core.RunInterrupted, core.ReasonRedeliveriesExhausted, at(40-i)))
			return nil
		})
	}
	want = []ports.RunKey{want[0], want[2], want[1], want[3]}
	ctx := bounded(t)
	for limit := 1; limit <= len(want)+1; limit++ {
		same(t, want[:min(limit, len(want))])(s.InterruptedRuns(ctx, at(0), limit))
	}
	same(t, want[:2])(s.InterruptedRuns(ctx, at(59), 10)) // at that very moment
	empty(t)(s.InterruptedRuns(ctx, at(61), 10))
}

func testFindTemplates(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	_, template := bare(t, s, "acme")
	build(t, s, "beta")
	all := []core.Template{template}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for i, id := range mixedIDs {
			more := template
			more.ID, more.Status = core.TemplateID(id), core.TemplateDraft
			if i%2 == 0 {
				more.Status = core.TemplatePublished
			}
			if i%3 == 0 {
				more.DeletedAt = at(3)
			}
			require.NoError(t, tx.Templates().Insert(ctx, more))
			all = append(all, more)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b core.Template) int { return cmp.Compare(a.ID, b.ID) })
	yes, no := true, false
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for _, status := range []core.TemplateStatus{"", core.TemplateDraft, core.TemplatePublished, "ghost"} {
			for _, deleted := range []*bool{nil, &yes, &no} {
				var want []core.Template
				for _, x := range all {
					if (status == "" || x.Status == status) && (deleted == nil || x.Deleted() == *deleted) {
						want = append(want, x)
					}
				}
				got, err := tx.Find().Templates(ctx, ports.TemplateFilter{Status: status, Deleted: deleted, Limit: 100})
				require.NoError(t, err)
				equal(t, orNil(want), orNil(got))
			}
		}
		for i := range all[1:] {
			same(t, all[i+1:])(tx.Find().Templates(ctx, ports.TemplateFilter{After: all[i].ID, Limit: 100}))
			same(t, all[i+1:i+2])(tx.Find().Templates(ctx, ports.TemplateFilter{After: all[i].ID, Limit: 1}))
		}
		empty(t)(tx.Find().Templates(ctx, ports.TemplateFilter{After: all[len(all)-1].ID, Limit: 100}))
		empty(t)(tx.Find().Templates(ctx, ports.TemplateFilter{}))
		return nil
	})
}
