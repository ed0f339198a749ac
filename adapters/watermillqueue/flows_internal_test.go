package watermillqueue

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func filesOf(tenant core.TenantID, template core.TemplateID, run core.RunID, n int) []core.Job {
	list := make([]core.Job, n)
	for i := range list {
		list[i] = core.Job{Tenant: tenant, Run: run, Epoch: 1, ID: core.FileJobID(run, i), Template: template, Files: []int{i}}
	}
	return list
}

func tenantsOf(b *backlog, got []ticket) map[core.TenantID]int {
	counts := map[core.TenantID]int{}
	for _, t := range got {
		counts[b.job(t).Tenant]++
	}
	return counts
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	t.Run("ALargeRunIsInNobodysWay", func(t *testing.T) {
		t.Parallel()
		b := newBacklog()
		b.add(filesOf("large", "t", "l", 100_000), "")
		b.take(16, ports.Skip{})
		b.add(filesOf("small", "t", "s", 3), "")
		require.Equal(t, map[core.TenantID]int{"large": 13, "small": 3}, tenantsOf(b, b.take(16, ports.Skip{})))
	})
	t.Run("TemplatesOfATenantTakeTurns", func(t *testing.T) {
		t.Parallel()
		b := newBacklog()
		b.add(filesOf("a", "t1", "r1", 100), "")
		b.add(filesOf("a", "t2", "r2", 3), "")
		b.add(filesOf("b", "t1", "r3", 100), "")
		counts := map[string]int{}
		for _, ticket := range b.take(12, ports.Skip{}) {
			job := b.job(ticket)
			counts[string(job.Tenant)+"/"+string(job.Template)]++
		}
		require.Equal(t, map[string]int{"a/t1": 3, "a/t2": 3, "b/t1": 6}, counts)
	})
	t.Run("MoreTenantsThanPlaces", func(t *testing.T) {
		t.Parallel()
		b := newBacklog()
		for i := range 10 {
			b.add(filesOf(core.TenantID(fmt.Sprint("t", i)), "t", "r", 100), "")
		}
		served := map[core.TenantID]int{}
		for range 10 { // ten takes of three are three for everybody
			for tenant, n := range tenantsOf(b, b.take(3, ports.Skip{})) {
				served[tenant] += n
			}
		}
		for tenant, n := range served {
			require.Equal(t, 3, n, tenant)
		}
		require.Len(t, served, 10)
	})
	t.Run("ManyPlacesAreGivenByGroups", func(t *testing.T) {
		t.Parallel()
		b := newBacklog()
		for i := range 10 {
			b.add(filesOf(core.TenantID(fmt.Sprint("t", i)), "t", "r", 100), "")
		}
		require.Len(t, tenantsOf(b, b.take(100, ports.Skip{})), 4)
	})
	t.Run("WhoWasSkippedDoesNotGetEverythingAfterwards", func(t *testing.T) {
		t.Parallel()
		b := newBacklog()
		b.add(filesOf("down", "t", "d", 10_000), "")
		b.add(filesOf("up", "t", "u", 10_000), "")
		b.take(5000, ports.Skip{Tenants: []core.TenantID{"down"}})
		require.Equal(t, map[core.TenantID]int{"down": 8, "up": 8}, tenantsOf(b, b.take(16, ports.Skip{})))
	})
	t.Run("LeavesNothingBehind", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			b := newBacklog()
			waiting, out := map[string]int{}, map[string]ticket{}
			name := func(j core.Job) string { return fmt.Sprint(j.Tenant, "/", j.ID, "/", j.Epoch) }
			t.Repeat(map[string]func(*rapid.T){
				"add": func(t *rapid.T) {
					run := core.RunID(rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "run"))
					j := core.Job{Tenant: core.TenantID(run[1:]), Run: run, Template: "t", Epoch: core.Epoch(rapid.IntRange(1, 2).Draw(t, "epoch")), ID: core.BatchJobID(run), Files: []int{0, 1}}
					if i := rapid.IntRange(-1, 3).Draw(t, "file"); i >= 0 {
						j.ID, j.Files = core.FileJobID(run, i), []int{i}
					}
					b.add([]core.Job{j}, "")
					if _, held := out[name(j)]; !held {
						waiting[name(j)] = 1
					}
				},
				"take": func(t *rapid.T) {
					for _, ticket := range b.take(rapid.IntRange(1, 3).Draw(t, "limit"), ports.Skip{}) {
						id := name(b.job(ticket))
						if waiting[id] != 1 {
							t.Fatalf("%s was not waiting", id)
						}
						delete(waiting, id)
						out[id] = ticket
					}
				},
				"answer": func(t *rapid.T) {
					for id, ticket := range out {
						if delete(out, id); rapid.Bool().Draw(t, "ack") {
							b.done(ticket)
						} else {
							b.again(ticket)
							waiting[id] = 1
						}
						break
					}
				},
				"": func(t *rapid.T) {
					if b.waiting != len(waiting) || b.all != len(waiting)+len(out) {
						t.Fatalf("%d wait and %d are there, want %d and %d", b.waiting, b.all, len(waiting), len(waiting)+len(out))
					}
				},
			})
			for _, ticket := range out {
				b.done(ticket)
			}
			for _, ticket := range b.take(1000, ports.Skip{}) {
				b.done(ticket)
			}
			if len(b.batches)+len(b.byFlow)+len(b.flows.tenants)+len(b.flows.byID)+b.all+b.waiting != 0 {
				t.Fatalf("left behind: %+v", b)
			}
		})
	})
	t.Run("IsCompact", func(t *testing.T) {
		// Not parallel: it looks at the heap.
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b := newBacklog()
		const runs, files = 100, 10_000
		for run := range runs {
			b.add(filesOf("acme", "t", core.RunID(fmt.Sprint("run-", run)), files), "")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / (runs * files)
		t.Logf("%.1f bytes for each of %d waiting jobs", each, runs*files)
		require.Less(t, each, 64.0)
		require.Equal(t, runs*files, b.all)
	})
}
