package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestCircuit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*play){
		// The first fault of ours opens it, for its template alone, and what was under way
		// is handed back.
		"OurFaultOpensAtOnce": func(p *play) {
			require.True(p.t, p.enters("acme/t/1") && p.enters("acme/t/2"))
			d := p.leaves("acme/t/1", wrongKey)
			require.True(p.t, d.handBack)
			require.Len(p.t, d.notes, 1)
			require.Equal(p.t, noteOpened, d.notes[0].kind)
			require.True(p.t, p.leaves("acme/t/2", wrongKey).handBack)
			p.kept("acme/t/3")
			require.False(p.t, p.goes("acme/u/1", answered).handBack)
			require.False(p.t, p.goes("globex/t/1", answered).handBack)
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/3"))
			p.kept("acme/t/4") // one at a time
			require.Equal(p.t, noteOver, p.leaves("acme/t/3", answered).notes[0].kind)
			p.goes("acme/t/4", answered)
			require.Len(p.t, p.b.suspects.jobs, 2)
			p.goes("acme/t/1", answered)
			p.goes("acme/t/2", answered)
			require.Empty(p.t, p.b.suspects.jobs)
			require.Empty(p.t, p.b.endpoints)
		},
		"TheProvidersOpensByManyInARow": func(p *play) {
			for i := range 2 {
				require.False(p.t, p.goes(fmt.Sprint("acme/t/", i), timeout).handBack)
			}
			p.goes("acme/t/2", answered)
			for i := range 2 {
				require.False(p.t, p.goes(fmt.Sprint("acme/t/", i), timeout).handBack)
			}
			p.goes("acme/t/3", nothing)
			require.True(p.t, p.goes("acme/t/4", timeout).handBack)
			p.after(29 * time.Second)
			p.kept("acme/t/5")
			p.after(30 * time.Second)
			require.True(p.t, p.goes("acme/t/5", timeout).handBack)
			p.after(59 * time.Second)
			p.kept("acme/t/6")
			p.after(60 * time.Second)
			p.goes("acme/t/6", answered)
			p.goes("acme/t/7", answered)
		},
		// Probes after 1, 3, 7 and 15 s, and when it is time to interrupt.
		"ProbesOfOurFaultDouble": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			for i, s := range []int{1, 3, 7, 15, 30} {
				p.after(time.Duration(s)*time.Second - 1)
				p.kept("acme/t/99")
				p.after(time.Duration(s) * time.Second)
				d := p.goes(fmt.Sprint("acme/t/", i+1), wrongKey)
				require.True(p.t, d.handBack)
				if s < 30 {
					require.Empty(p.t, d.interrupt.Templates)
					continue
				}
				require.Equal(p.t, []ports.TemplateKey{{Tenant: "acme", Template: "t"}}, d.interrupt.Templates)
				require.Equal(p.t, core.FailureUnauthorized, d.interrupt.Why.Code)
				p.kept("acme/t/98")
				p.b.interrupted(d.interrupt, p.now)
				d = p.goes("acme/t/98", wrongKey) // what comes then decides again
				require.Len(p.t, d.interrupt.Templates, 1)
				p.kept("acme/t/97") // nothing was closed by that one
				p.after(31 * time.Second)
				p.goes("acme/t/97", wrongKey)
			}
		},
		"AProbeThatSaysNothingIsFollowedAtOnce": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			require.False(p.t, p.goes("acme/t/1", nothing).handBack)
			require.True(p.t, p.enters("acme/t/2"))
			p.kept("acme/t/3")
		},
		"ProbesPreferOthers": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			p.kept("acme/t/0")
			require.True(p.t, p.enters("acme/t/1"))
			p.leaves("acme/t/1", nothing)
			p.after(2 * time.Second)
			require.True(p.t, p.goes("acme/t/0", wrongKey).handBack) // there was no other
		},
		"RetryAfterCounts": func(p *play) {
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), limited(2*time.Minute))
			}
			p.after(2*time.Minute - 1)
			p.kept("acme/t/5")
			p.after(2 * time.Minute)
			p.goes("acme/t/5", limited(100*time.Hour)) // bounded
			p.after(2*time.Minute + time.Hour)
			p.goes("acme/t/6", answered)
		},
		"WhatIsUnderWayAsksForLonger": func(p *play) {
			for i := range 4 {
				require.True(p.t, p.enters(fmt.Sprint("acme/t/", i)))
			}
			for i := range 3 {
				p.leaves(fmt.Sprint("acme/t/", i), timeout)
			}
			require.True(p.t, p.leaves("acme/t/3", limited(time.Minute)).handBack)
			p.after(time.Minute - 1)
			p.kept("acme/t/5")
		},
		"AnOutageThatIsTooLongIsGivenUpOn": func(p *play) {
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), timeout)
			}
			p.after(time.Hour)
			for i := range 20 {
				require.False(p.t, p.goes(fmt.Sprint("acme/t/", i), timeout).handBack)
			}
			require.True(p.t, p.b.stats(p.now)[0].GivenUp)
			require.Len(p.t, p.goes("acme/t/3", answered).notes, 1)
			require.Empty(p.t, p.b.endpoints)
		},
		// No operator can mend what the provider does, but the key that it then refuses.
		"AnOutageTurnsOutToBeOurs": func(p *play) {
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), timeout)
			}
			p.after(30 * time.Second)
			d := p.goes("acme/t/3", wrongKey)
			require.Equal(p.t, noteGoesOn, d.notes[0].kind)
			require.Equal(p.t, causeBlocked, d.notes[0].outage.cause)
			require.Empty(p.t, d.interrupt.Templates, "it has only begun")
			p.after(31 * time.Second)
			require.Empty(p.t, p.goes("acme/t/4", wrongKey).notes, "told once")
		},
		"TheOperatorIsReminded": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			told := 0
			for i := 1; p.now.Sub(p.start) < time.Hour; i++ {
				p.now = p.now.Add(30 * time.Second)
				told += len(p.goes(fmt.Sprint("acme/t/", i), wrongKey).notes)
			}
			require.InDelta(p.t, 12, told, 1)
		},
		"TwoTemplatesAreTheEndpoint": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			require.True(p.t, p.b.stats(p.now)[0].Whole)
			p.kept("initech/t/0", "acme/u/0")
			p.after(time.Second)
			require.True(p.t, p.enters("initech/t/0"))
			p.kept("acme/t/1", "globex/t/1", "acme/u/0")
			p.leaves("initech/t/0", answered)
			p.goes("acme/u/0", answered)
			// The two need probes of their own, at once.
			require.True(p.t, p.enters("acme/t/1") && p.enters("globex/t/1"))
			p.kept("acme/t/2", "globex/t/2")
			p.leaves("acme/t/1", answered)
			p.leaves("globex/t/1", wrongKey)
			p.goes("acme/t/2", answered)
			p.kept("globex/t/2")
			require.False(p.t, p.b.stats(p.now)[0].Whole)
		},
		"AnAnswerOfAnyEndsItAndTheOthersAreProbedAtOnce": func(p *play) {
			require.True(p.t, p.enters("initech/t/0"))
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), timeout)
				p.goes(fmt.Sprint("globex/t/", i), timeout)
			}
			p.after(5 * time.Second)
			p.kept("acme/t/3", "globex/t/3", "initech/t/1")
			p.leaves("initech/t/0", answered)
			p.goes("initech/t/1", answered)
			p.goes("acme/t/3", answered)
			require.True(p.t, p.enters("globex/t/3"))
		},
		"WhatIsUnderWayInterruptsNothing": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1"))
			p.leaves("acme/t/0", wrongKey)
			p.after(40 * time.Second)
			d := p.leaves("acme/t/1", wrongKey)
			require.True(p.t, d.handBack)
			require.Empty(p.t, d.interrupt.Templates)
		},
		"AnAnswerInBetweenShowsThatItIsNot": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", answered)
			p.goes("globex/u/0", wrongKey)
			p.goes("initech/t/0", answered)
		},
		// What only one tenant meets stops no other.
		"TwoTemplatesOfATenantAreThatTenants": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("acme/u/0", wrongKey)
			p.kept("acme/v/0")
			p.goes("globex/t/0", nothing)
			p.goes("globex/t/0", wrongKey) // another meets it as well
			p.kept("initech/t/0")
		},
		// A shape that the model never takes tells of the template.
		"ARefusedRequestIsNoOutage": func(p *play) {
			p.goes("acme/t/0", shape)
			p.goes("globex/t/0", shape)
			p.goes("initech/t/0", answered)
			p.kept("acme/t/1", "globex/t/1")
		},
		"AProbeOfAllThatTellsOfItsTemplateIsNoAnswer": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(time.Second)
			require.True(p.t, p.goes("initech/t/0", shape).handBack)
			p.kept("initech/t/1", "acme/t/1")
			p.after(3 * time.Second)
			p.goes("acme/t/1", answered)
			p.goes("acme/t/2", answered)
			require.True(p.t, p.enters("initech/t/1")) // whose own probe it is
			p.kept("initech/t/2")
		},
		"AnEndpointIsInterruptedForAllThatWait": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.kept("initech/t/0")
			p.after(30 * time.Second)
			d := p.goes("acme/t/1", wrongKey)
			require.Equal(p.t, []ports.TemplateKey{{Tenant: "acme", Template: "t"}, {Tenant: "globex", Template: "t"}, {Tenant: "initech", Template: "t"}}, d.interrupt.Templates)
		},
		// A file that fails by itself, as if it were us, stops its template once, and is
		// then recorded.
		"APoisonFileIsRecorded": func(p *play) {
			require.True(p.t, p.goes("acme/t/0", shape).handBack)
			p.after(time.Second)
			p.goes("acme/t/1", answered)
			require.False(p.t, p.goes("acme/t/0", shape).handBack)
			p.goes("acme/t/2", answered) // and stops nothing
		},
		"ThreeOutagesOfTheProviderCostAFileNothing": func(p *play) {
			for n := range 4 {
				for i := range 2 {
					p.goes(fmt.Sprint("acme/t/", 10+n, i), timeout)
				}
				require.Equal(p.t, n < 3, p.goes("acme/t/0", timeout).handBack, n)
				p.now = p.now.Add(30 * time.Second)
				p.goes("acme/t/9", answered)
			}
		},
		// What began before an outage and ends after it says nothing about now.
		"ALateFailureIsHandedBack": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1"))
			p.leaves("acme/t/0", wrongKey)
			p.after(time.Second)
			p.goes("acme/t/2", answered)
			require.True(p.t, p.leaves("acme/t/1", wrongKey).handBack)
			p.goes("acme/t/3", answered)
		},
		"AProbeOfAnOutageThatIsOverEndsNoOther": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1"))
			p.leaves("acme/t/0", wrongKey)
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/2"))
			p.leaves("acme/t/1", answered) // another shows that it is over
			require.True(p.t, p.enters("acme/t/3"))
			p.leaves("acme/t/3", wrongKey)
			p.after(2 * time.Second)
			require.True(p.t, p.enters("acme/t/4"))
			p.leaves("acme/t/2", nothing)
			p.kept("acme/t/5") // the probe is still under way
		},
		// A job that was claimed when an outage began is not begun.
		"WhatWaitsToBeginIsHandedBack": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1"))
			require.False(p.t, p.b.holds(job("acme/t/1"), p.in[job("acme/t/1").ID], p.now))
			p.leaves("acme/t/0", wrongKey)
			require.True(p.t, p.b.holds(job("acme/t/1"), p.in[job("acme/t/1").ID], p.now))
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/2"))
			require.False(p.t, p.b.holds(job("acme/t/2"), p.in[job("acme/t/2").ID], p.now), "a probe")
		},
		// What waits of a run that closed need not be a probe each to be dropped.
		"WhatIsLeftOfAClosedRunGoesThrough": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/1"))
			p.b.noEffect(job("acme/t/1"), p.in[job("acme/t/1").ID])
			p.leaves("acme/t/1", nothing)
			for i := range 100 {
				require.True(p.t, p.enters(fmt.Sprint("acme/t/", 100+i)))
			}
			continued := job("acme/t/1")
			continued.Epoch++
			probe, ok := p.b.enter(continued, p.now)
			require.True(p.t, ok)
			require.NotNil(p.t, probe.probe)
			// If one is claimed nevertheless it is not begun, and the others wait again.
			require.True(p.t, p.b.holds(job("acme/t/100"), p.in[job("acme/t/100").ID], p.now))
			p.kept("acme/t/200")
		},
		"AJobWithoutItsTemplateIsNotKeptBack": func(p *play) {
			j := core.Job{Tenant: "acme", Run: "r", ID: "j"}
			for range 5 {
				pass, ok := p.b.enter(j, p.now)
				require.True(p.t, ok)
				require.False(p.t, p.b.leave(j, &pass, wrongKey, p.now).handBack)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newPlay(t))
		})
	}
}
