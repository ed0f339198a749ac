package watermillqueue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// silent is a holder that has nothing to keep.
type silent struct{}

func (silent) settle([]core.Job, answer) error                       { return nil }
func (silent) release(context.Context, []core.Job, []core.Job) error { return nil }
func (silent) toDeadLetter(context.Context, DeadLetter) error        { return nil }

// arrive puts n messages of so many jobs each into the inbox.
func arrive(b *inbox, tenant core.TenantID, template core.TemplateID, n, jobs int) {
	for i := range n {
		run := core.RunID(fmt.Sprint(tenant, "-", template, "-", i))
		list := make([]core.Job, jobs)
		for f := range list {
			list[f] = core.Job{Tenant: tenant, Run: run, Epoch: 1, ID: core.FileJobID(run, f), Template: template, Files: []int{f}}
		}
		b.put(newDelivery(b, list, silent{}, nil, time.Time{}), false)
	}
}

func taken(b *inbox, limit int, skip ports.Skip) []*delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []*delivery
	for _, d := range b.take(demand{limit, skip}) {
		got = append(got, d.(*delivery))
	}
	return got
}

// by counts jobs by tenant.
func by(got []*delivery) map[core.TenantID]int {
	counts := map[core.TenantID]int{}
	for _, d := range got {
		counts[d.key.Tenant] += len(d.jobs)
	}
	return counts
}

func TestTurns(t *testing.T) {
	t.Parallel()
	t.Run("ALargeRunIsInNoOthersWay", func(t *testing.T) {
		t.Parallel()
		b := newInbox()
		arrive(b, "large", "t", 1000, 1)
		taken(b, 16, ports.Skip{})
		arrive(b, "small", "t", 3, 1)
		require.Equal(t, map[core.TenantID]int{"large": 25, "small": 3}, by(taken(b, 28, ports.Skip{})))
	})
	t.Run("NeitherAreLargeMessages", func(t *testing.T) {
		t.Parallel()
		b := newInbox()
		arrive(b, "large", "t", 40, 250)
		arrive(b, "small", "t", 10, 1)
		served := map[core.TenantID]int{}
		for range 4 {
			for tenant, n := range by(taken(b, 10, ports.Skip{})) {
				served[tenant] += n
			}
		}
		require.Equal(t, 10, served["small"], "as much as there is, in every other turn")
		require.LessOrEqual(t, served["large"], 3*250)
	})
	t.Run("TemplatesOfATenantTakeTurns", func(t *testing.T) {
		t.Parallel()
		b := newInbox()
		arrive(b, "a", "t1", 100, 1)
		arrive(b, "a", "t2", 3, 1)
		arrive(b, "b", "t1", 100, 1)
		counts := map[string]int{}
		for range 12 {
			for _, d := range taken(b, 1, ports.Skip{}) {
				counts[string(d.key.Tenant)+"/"+string(d.key.Template)]++
			}
		}
		require.Equal(t, map[string]int{"a/t1": 3, "a/t2": 3, "b/t1": 6}, counts)
	})
	t.Run("FewPlacesGoRound", func(t *testing.T) {
		t.Parallel()
		b := newInbox()
		for i := range 10 {
			arrive(b, core.TenantID(fmt.Sprint("t", i)), "t", 100, 1)
		}
		served := map[core.TenantID]int{}
		for range 10 { // ten takes of three are three for each
			for tenant, n := range by(taken(b, 3, ports.Skip{})) {
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
		b := newInbox()
		for i := range 10 {
			arrive(b, core.TenantID(fmt.Sprint("t", i)), "t", 100, 1)
		}
		require.Len(t, by(taken(b, 100, ports.Skip{})), 4)
	})
	t.Run("WhatWasSkippedDoesNotGetEverythingAfterwards", func(t *testing.T) {
		t.Parallel()
		b := newInbox()
		arrive(b, "down", "t", 1000, 1)
		arrive(b, "up", "t", 1000, 1)
		taken(b, 500, ports.Skip{Tenants: []core.TenantID{"down"}})
		require.Equal(t, map[core.TenantID]int{"down": 25, "up": 25}, by(taken(b, 50, ports.Skip{})))
	})
	t.Run("LeaveNothingBehind", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			b := newInbox()
			waiting, held := 0, []*delivery(nil)
			t.Repeat(map[string]func(*rapid.T){
				"put": func(t *rapid.T) {
					arrive(b, rapid.SampledFrom([]core.TenantID{"a", "b", "c"}).Draw(t, "tenant"),
						rapid.SampledFrom([]core.TemplateID{"t", "u"}).Draw(t, "template"), 1, rapid.IntRange(1, 3).Draw(t, "jobs"))
					waiting++
				},
				"take": func(t *rapid.T) {
					limit := rapid.IntRange(1, 5).Draw(t, "limit")
					skip := rapid.SampledFrom([]ports.Skip{{}, {Tenants: []core.TenantID{"a"}}, {Templates: []ports.TemplateKey{{Tenant: "b", Template: "t"}}}}).Draw(t, "skip")
					got := taken(b, limit, skip)
					for i, d := range got {
						if skip.Skips(d.jobs[0]) {
							t.Fatal("skipped")
						}
						if limit <= 0 {
							t.Fatalf("%d of %d messages are too many", len(got)-i, len(got))
						}
						limit -= len(d.jobs)
					}
					waiting -= len(got)
					held = append(held, got...)
				},
				"answer": func(t *rapid.T) {
					if len(held) > 0 {
						if err := held[0].Ack(context.Background()); err != nil {
							t.Fatal(err)
						}
						held = held[1:]
					}
				},
				"": func(t *rapid.T) {
					if len(b.held) != waiting+len(held) {
						t.Fatalf("%d are held, want %d", len(b.held), waiting+len(held))
					}
				},
			})
			for len(taken(b, 1000, ports.Skip{})) > 0 {
			}
			if len(b.turns.tenants)+len(b.turns.byID) != 0 {
				t.Fatalf("left behind: %+v", b.turns)
			}
		})
	})
}
