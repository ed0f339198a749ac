package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestOutages(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*play){
		"HaveNumbersOfTheirOwn": func(p *play) {
			notes := append(p.goes("acme/t/0", wrongKey).notes, p.goes("globex/t/0", wrongKey).notes...)
			require.Len(p.t, notes, 3, "two templates, and the endpoint")
			numbers := map[int]bool{}
			for _, n := range notes {
				numbers[n.outage.number] = true
			}
			require.Len(p.t, numbers, 3)
		},
		"CountTheProbesThatFailed": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			for i, s := range []int{1, 3} {
				p.after(time.Duration(s) * time.Second)
				p.goes(fmt.Sprint("acme/t/", i+1), wrongKey)
			}
			p.after(7 * time.Second)
			notes := p.goes("acme/t/3", answered).notes
			require.Len(p.t, notes, 1)
			require.Equal(p.t, 2, notes[0].outage.probes)
		},
		// Of all templates: a probe that fails puts the next one off, and nothing else does.
		"OfTheEndpointAreProbedLessAndLess": func(p *play) {
			require.True(p.t, p.enters("acme/v/0"))
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(500 * time.Millisecond)
			require.True(p.t, p.leaves("acme/v/0", wrongKey).handBack)
			p.after(time.Second)
			require.True(p.t, p.goes("initech/t/0", wrongKey).handBack)
			p.after(3*time.Second - 1)
			p.kept("initech/t/1", "acme/t/1")
			p.after(3 * time.Second)
			require.True(p.t, p.enters("initech/t/1"))
		},
		"OfATemplateAreNotProlongedByWhatIsUnderWay": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1"))
			p.leaves("acme/t/0", wrongKey)
			p.after(500 * time.Millisecond)
			d := p.leaves("acme/t/1", wrongKey)
			require.True(p.t, d.handBack)
			require.Empty(p.t, d.notes)
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/2"))
		},
		"TurnOutToBeOursByWhatIsUnderWay": func(p *play) {
			for i := range 4 {
				require.True(p.t, p.enters(fmt.Sprint("acme/t/", i)))
			}
			for i := range 3 {
				p.leaves(fmt.Sprint("acme/t/", i), timeout)
			}
			p.after(10 * time.Second)
			notes := p.leaves("acme/t/3", wrongKey).notes
			require.Len(p.t, notes, 1)
			require.Equal(p.t, noteGoesOn, notes[0].kind)
			require.Equal(p.t, causeBlocked, notes[0].outage.cause)
			p.after(11*time.Second - 1)
			p.kept("acme/t/4")
			p.after(11 * time.Second)
			require.True(p.t, p.enters("acme/t/4"), "an operator may have mended it")
		},
		"ThatInterruptAllAreProbedAtOnceThen": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(30 * time.Second)
			d := p.goes("acme/t/1", wrongKey)
			require.NotEmpty(p.t, d.interrupt.Templates)
			p.kept("initech/t/0")
			p.b.interrupted(d.interrupt, p.now)
			require.True(p.t, p.enters("initech/t/0"))
		},
		// What is under way may yet be answered, so nothing of it is to be closed.
		"InterruptOnlyWhatWaits": func(p *play) {
			require.True(p.t, p.enters("hooli/t/0"))
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(30 * time.Second)
			d := p.goes("initech/t/0", wrongKey)
			require.Equal(p.t, []ports.TemplateKey{{Tenant: "acme", Template: "t"}, {Tenant: "globex", Template: "t"}, {Tenant: "initech", Template: "t"}}, d.interrupt.Templates)
		},
		"AreNotProbedForAnInterruptionOfAnotherOne": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(30 * time.Second)
			late := p.goes("acme/t/1", wrongKey).interrupt
			require.NotEmpty(p.t, late.Templates)
			p.after(32 * time.Second)
			p.goes("acme/t/2", answered)
			p.goes("acme/t/3", wrongKey)
			p.b.interrupted(late, p.now)
			p.kept("acme/t/4")
		},
		"ThatAreOverLeaveNothingOfWhatTheyKeptBack": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.kept("initech/t/0")
			p.after(time.Second)
			p.goes("globex/t/1", answered)
			p.goes("acme/t/1", answered)
			require.Empty(p.t, p.b.endpoints)
		},
		// The provider's trouble is given up on after a time, whatever becomes of the probe; a
		// fault of ours is not.
		"OfTheProviderChangeWithTime": func(p *play) {
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), timeout)
			}
			p.after(30 * time.Second)
			require.True(p.t, p.enters("acme/t/3"))
			var o outlook
			p.b.look(&o, p.now)
			require.Len(p.t, o.skip.Templates, 1)
			require.Equal(p.t, p.start.Add(time.Hour), o.till)
		},
		"OfOursChangeWithTheirProbes": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			require.True(p.t, p.enters("acme/t/1"))
			var o outlook
			p.b.look(&o, p.now)
			require.Len(p.t, o.skip.Templates, 1)
			require.Zero(p.t, o.till)
		},
		"RememberRunsThatClosedUpToANumber": func(p *play) {
			of := func(i int) core.Job {
				j := job("acme/t/0")
				j.Run = core.RunID(fmt.Sprint(i))
				return j
			}
			probe := &pass{probe: &outage{}}
			for i := range mostOver {
				p.b.noEffect(of(i), probe)
			}
			for i := range mostOver {
				require.True(p.t, p.b.isOver(of(i)))
			}
			p.b.noEffect(of(mostOver), probe)
			require.True(p.t, p.b.isOver(of(mostOver)))
			require.LessOrEqual(p.t, len(p.b.over), mostOver)
		},
		"OfTheEndpointStopTemplatesThatAreNew": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			require.False(p.t, p.b.stops(job("initech/t/0"), p.now))
			p.goes("globex/t/0", wrongKey)
			require.True(p.t, p.b.stops(job("initech/t/0"), p.now))
		},
		// More than one of its jobs is there, and only one may come as a probe. One that is not
		// known to fail is preferred for a while.
		"LetOneComeForTheirProbe": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			o := outlook{room: 16}
			p.b.look(&o, p.now)
			require.Equal(p.t, outlook{room: 16, till: p.start.Add(2 * time.Second)}, o)
			p.kept("acme/t/0")
			p.b.look(&o, p.now)
			require.Equal(p.t, 1, o.room)
		},
		"OfTheEndpointAreToldOf": func(p *play) {
			require.True(p.t, p.enters("acme/v/0"))
			for i := range 3 {
				p.goes(fmt.Sprint("acme/t/", i), timeout)
				p.goes(fmt.Sprint("globex/t/", i), timeout)
			}
			p.after(time.Second)
			notes := p.leaves("acme/v/0", wrongKey).notes
			require.Len(p.t, notes, 1)
			require.Equal(p.t, noteGoesOn, notes[0].kind)
			require.Zero(p.t, notes[0].template)
			p.after(2 * time.Second)
			require.Empty(p.t, p.goes("initech/t/0", wrongKey).notes, "told once")
			p.after(4 * time.Second)
			notes = p.goes("initech/t/1", answered).notes
			require.Len(p.t, notes, 1)
			require.Equal(p.t, noteOver, notes[0].kind)
			require.Zero(p.t, notes[0].template)
			require.Equal(p.t, 1, notes[0].outage.probes)
		},
		"OfTheEndpointThatBeginAreNotToldTwice": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(time.Second)
			require.Empty(p.t, p.goes("initech/t/0", wrongKey).notes)
		},
		// What began before an outage of all and ends after it says nothing about now.
		"OfTheEndpointThatAreOverAreNotOpenedByWhatIsLate": func(p *play) {
			require.True(p.t, p.enters("initech/t/0"))
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.after(time.Second)
			p.goes("acme/t/1", answered)
			require.True(p.t, p.leaves("initech/t/0", wrongKey).handBack)
			p.goes("initech/t/1", answered)
		},
		"ThatAFileHasFailedInBeforeAreItsOwnFault": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			p.goes("acme/t/1", answered)
			require.True(p.t, p.enters("acme/t/0"))
			p.goes("acme/t/2", wrongKey)
			p.after(2 * time.Second)
			p.goes("acme/t/3", answered)
			require.False(p.t, p.leaves("acme/t/0", wrongKey).handBack, "late")
			require.Len(p.t, p.b.suspects.jobs, 1, "the other")
		},
		"AreForgottenOfAFileThatIsRecorded": func(p *play) {
			p.goes("acme/t/0", shape)
			p.after(time.Second)
			p.goes("acme/t/1", answered)
			require.Len(p.t, p.b.suspects.jobs, 1)
			require.False(p.t, p.goes("acme/t/0", shape).handBack)
			require.Empty(p.t, p.b.suspects.jobs)
		},
		"AreForgottenOfAFileThatFailsWithoutOne": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(time.Second)
			p.goes("acme/t/1", answered)
			require.False(p.t, p.goes("acme/t/0", timeout).handBack)
			require.Empty(p.t, p.b.suspects.jobs)
		},
		// What waited has no effect any more, so nothing is known of it.
		"ThatInterruptForgetWhatWaited": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.goes("globex/t/0", wrongKey)
			p.kept("initech/t/0")
			p.after(30 * time.Second)
			p.b.interrupted(p.goes("acme/t/1", wrongKey).interrupt, p.now)
			require.NotContains(p.t, p.b.endpoints["llm"].circuits, ports.TemplateKey{Tenant: "initech", Template: "t"})
		},
		"AreShownByNameAndState": func(p *play) {
			p.goes("acme/u/0", wrongKey)
			p.goes("acme/t/0", shape)
			require.True(p.t, p.enters("acme/v/0"))
			p.after(500 * time.Millisecond)
			s := p.b.stats(p.now)[0]
			require.False(p.t, s.Whole)
			require.Equal(p.t, "open", s.State)
			require.Equal(p.t, []core.TemplateID{"t", "u"}, []core.TemplateID{s.Circuits[0].Template.Template, s.Circuits[1].Template.Template})
			p.after(time.Second)
			require.True(p.t, p.enters("acme/u/1"))
			s = p.b.stats(p.now)[0]
			require.Equal(p.t, "half-open", s.State)
			require.Equal(p.t, 1, s.Circuits[1].Running)
			require.Equal(p.t, 2, s.Running)
		},
		"OfTheEndpointAreShownAsItsOwn": func(p *play) {
			p.goes("acme/t/0", wrongKey)
			p.after(500 * time.Millisecond)
			p.goes("globex/t/0", wrongKey)
			p.after(time.Second)
			s := p.b.stats(p.now)[0]
			require.True(p.t, s.Whole)
			require.Equal(p.t, "open", s.State)
			require.Equal(p.t, p.start.Add(500*time.Millisecond), s.DownSince)
			require.Equal(p.t, "half-open", s.Circuits[0].State)
		},
		"AreShownWithAllThatIsUnderWay": func(p *play) {
			require.True(p.t, p.enters("acme/t/0") && p.enters("acme/t/1") && p.enters("acme/u/0"))
			s := p.b.stats(p.now)
			require.Len(p.t, s, 1)
			require.Equal(p.t, 3, s[0].Running)
			require.Equal(p.t, "closed", s[0].State)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newPlay(t))
		})
	}
}

// Of more templates than are named to a feed it is always the same that are.
func TestSkipsOfOutagesAreBounded(t *testing.T) {
	t.Parallel()
	c := plain()
	c.Breaker = quick
	c.Breaker.Endpoint = func(k ports.TemplateKey) string { return string(k.Tenant) }
	g := newGate(c)
	now := time.Now()
	for i := range maxSkip + 1 {
		j := job(fmt.Sprintf("%04d/t/0", (i*8)%(maxSkip+1)))
		p, ok := g.breaker.enter(j, now)
		require.True(t, ok)
		g.breaker.leave(j, &p, wrongKey, now)
	}
	skip := g.look(now).skip.Templates
	require.Len(t, skip, maxSkip)
	for i := range skip {
		require.Equal(t, core.TenantID(fmt.Sprintf("%04d", i)), skip[i].Tenant)
	}
	shown := g.breaker.stats(now)
	require.Len(t, shown, maxSkip+1)
	for i := range shown {
		require.Equal(t, fmt.Sprintf("%04d", i), shown[i].Endpoint)
	}
}

// As many suspects are remembered as there is room for, and the oldest makes room.
func TestSuspectsFillTheirBounds(t *testing.T) {
	t.Parallel()
	of := func(i int) core.Job { return core.Job{Tenant: "acme", Run: "r", ID: core.JobID(fmt.Sprint(i))} }

	t.Run("OfThoseThatAreRemembered", func(t *testing.T) {
		t.Parallel()
		var s suspects
		for i := range mostSuspects {
			s.add(of(i), 1)
		}
		require.True(t, s.failedIn(of(0), 1))
		s.add(of(mostSuspects), 1)
		require.False(t, s.failedIn(of(0), 1))
		require.True(t, s.failedIn(of(1), 1))
	})

	t.Run("OfThoseThatWereForgotten", func(t *testing.T) {
		t.Parallel()
		var s suspects
		s.add(of(0), 1)
		for i := 1; i < 2*mostSuspects; i++ {
			s.add(of(i), 1)
			s.forget(of(i))
		}
		require.True(t, s.failedIn(of(0), 1))
		s.add(of(2*mostSuspects), 1)
		require.False(t, s.failedIn(of(0), 1))
	})
}

// A Receive is begun again for what became free although something else happened with it.
func TestAReceiveBeginsAgainAfterAnInterruption(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Breaker = quick })
	jobs := h.works(acme("r", 2)...)
	h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1}, Received{})
	require.Len(t, one[Receive](h).Skip.Templates, 1)
	h.s.interrupts++
	of := Interruption{endpoint: "llm", number: 1, Templates: []ports.TemplateKey{{Tenant: "acme", Template: "t"}}}
	h.do(Interrupted{Interruption: of, Closed: 1}, Executed{Job: jobs[1], Verdict: wrongKey, Rest: 1})
	one[CancelReceive](h)
}

// A Receive goes by the outage of its time: one that is over ends no later one.
func TestAnOutageThatIsOverEndsNoReceive(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Breaker = quick })
	jobs := h.works(acme("r", 2)...)
	h.do(Executed{Job: jobs[0], Verdict: wrongKey, Rest: 1}, Received{})
	require.Len(t, one[Receive](h).Skip.Templates, 1)
	h.do(executedWell(jobs[1])...)
	one[CancelReceive](h)
	h.do(Received{})
	require.Empty(t, one[Receive](h).Skip.Templates)
	h.at(2 * time.Second)
	none[CancelReceive](h)
}

// What is let go without a word has left the breaker too.
func TestAJobThatIsDroppedLeavesTheBreaker(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Breaker = quick })
	h.message(acme("r", 1)...)
	require.Equal(t, 1, h.s.Stats(h.now).Breakers[0].Running)
	h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(1, OutcomeDropped)})
	h.do(Answered{Message: 1})
	require.Empty(t, h.s.Stats(h.now).Breakers)
}
