package mutants

// The files of the worker's scheduler.
const (
	schedBreaker  = "core/app/worker/scheduler/breaker.go"
	schedClaim    = "core/app/worker/scheduler/claim.go"
	schedDrain    = "core/app/worker/scheduler/drain.go"
	schedEvidence = "core/app/worker/scheduler/evidence.go"
	schedGate     = "core/app/worker/scheduler/gate.go"
	schedHandBack = "core/app/worker/scheduler/handback.go"
	schedHeld     = "core/app/worker/scheduler/held.go"
	schedLane     = "core/app/worker/scheduler/lane.go"
	schedMessage  = "core/app/worker/scheduler/message.go"
	schedPieces   = "core/app/worker/scheduler/pieces.go"
	schedReceive  = "core/app/worker/scheduler/receive.go"
	schedSettle   = "core/app/worker/scheduler/settle.go"
	schedState    = "core/app/worker/scheduler/scheduler.go"
)

// schedulerBugs are about what a worker does with the jobs that it has in hand.
var schedulerBugs = []Bug{
	{
		Name: "place-leaked", What: "a job whose claim has no effect keeps its place for ever",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\t\t\ts.finish(j)\n\t\t}\n",
			As:   "\t\t\tif !{on} {\n\t\t\t\ts.finish(j)\n\t\t\t}\n\t\t}\n",
		}},
	},
	{
		Name: "tenant-limit-not-given-back", What: "a job that is done counts against its tenant's limit for ever",
		Edits: []Edit{{
			File: schedGate,
			Old:  "\t\tdecrement(g.tenants, j.Tenant)\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "template-limit-not-given-back", What: "a job that is done counts against its template's limit for ever",
		Edits: []Edit{{
			File: schedGate,
			Old:  "\t\tdecrement(g.templates, templateOf(j.Job))\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "limit-off-by-one", What: "one job more than the limit is let in",
		Edits: []Edit{{
			File: schedGate,
			Old:  "limit > 0 && n >= limit",
			As:   "limit > 0 && n >= planted.If({on}, limit+1, limit)",
		}},
	},
	{
		Name: "places-ignored", What: "all jobs of a message are let in, whatever places are free",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\t\ts.admit(m, shares[i])\n",
			As:   "\t\ts.admit(m, planted.If({on}, len(m.Jobs), shares[i]))\n",
		}},
	},
	{
		Name: "tenant-starved", What: "the tenant whose messages come first gets all places",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\teach := free / max(len(quota), 1)\n",
			As:   "\teach := planted.If({on}, free, free/max(len(quota), 1))\n",
		}},
	},
	{
		Name: "parked-forgotten", What: "a job that waited too long for a limit does not go back to the queue",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\ts.withdraw(expired, true)\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "stop-receives", What: "a worker that stops receives further messages",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\tif s.stopping || r.active ||",
			As:   "\tif s.stopping && !{on} || r.active ||",
		}},
	},
	{
		Name: "stop-claims", What: "a worker that stops claims the jobs that it has just received",
		Edits: []Edit{{
			File: schedReceive,
			Old:  "\t\tif !s.stopping && places > 0 {\n",
			As:   "\t\tif (!s.stopping || {on}) && places > 0 {\n",
		}},
	},
	{
		Name: "stop-claims-what-is-held", What: "a worker that stops goes on waiting for locked runs, to claim their jobs",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\tif s.stopping {\n\t\ts.withdrawItems(waiting)\n\t\twaiting = nil\n",
			As:   "\tif s.stopping && !{on} {\n\t\ts.withdrawItems(waiting)\n\t\twaiting = nil\n",
		}},
	},
	{
		Name: "stop-hands-nothing-back", What: "what an executor has not ended when a worker stops is not handed back",
		Edits: []Edit{{
			File: schedDrain,
			Old:  "\t\t\ts.running--\n\t\t\ts.handBack(j)\n",
			As:   "\t\t\ts.running--\n\t\t\tif {on} {\n\t\t\t\ts.finish(j)\n\t\t\t} else {\n\t\t\t\ts.handBack(j)\n\t\t\t}\n",
		}},
	},
	{
		Name: "stop-drops-what-gave-up", What: "a job whose execution a stop has ended is not handed back",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\tif s.drain >= cancelling && !j.lost {\n",
			As:   "\tif s.drain >= cancelling && !j.lost && !{on} {\n",
		}},
	},
	{
		Name: "executed-twice", What: "a claimed job is executed twice at once",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\t\ts.running++\n\t\tjobs = append(jobs, j)\n",
			As:   "{old}\t\tif {on} && len(jobs) > 1 {\n\t\t\tjobs = append(jobs, jobs[0])\n\t\t}\n",
		}},
	},
	{
		Name: "given-up-runs-for-ever", What: "a job that was given up because its lease is lost counts as running for ever",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\ts.running--\n\tif e.GaveUp {\n",
			As:   "\tif !({on} && e.GaveUp) {\n\t\ts.running--\n\t}\n\tif e.GaveUp {\n",
		}},
	},
	{
		Name: "done-is-renewed", What: "the leases of jobs that are recorded or handed back are renewed",
		Edits: []Edit{{
			File: schedState,
			Old:  "\t\ts.claimed.remove(j)\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}, {
			File: schedLane,
			Old:  "return !j.state.isClaimed() })\n",
			As:   "return !{on} && !j.state.isClaimed() })\n",
		}},
	},
	{
		Name: "linger-for-ever", What: "a result waits for others to be recorded with, and no timer ends that",
		Edits: []Edit{{
			File: schedLane,
			Old:  "\t\ts.timers.set(l.notBefore, func() { s.examine(l) })\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "held-claim-forgotten", What: "a run that was locked when its jobs were to be claimed is not tried again",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "\t\ts.hold(&held{kind: claims,",
			As:   "\t\tif {on} {\n\t\t\tcontinue\n\t\t}\n\t\ts.hold(&held{kind: claims,",
		}},
	},
	{
		Name: "held-result-forgotten", What: "a run that was locked when results were to be recorded is not tried again",
		Edits: []Edit{{
			File: schedSettle,
			Old:  "\t\ts.hold(&held{kind: results, run: p.runs[0], items: p.items})\n",
			As:   "\t\tif !{on} {\n{old}\t\t}\n",
		}},
	},
	{
		Name: "failed-claim-forgotten", What: "jobs whose claim failed do not go back to the queue",
		Edits: []Edit{{
			File: schedClaim,
			Old:  "func() { s.withdraw(jobs, true) })\n",
			As:   "func() {\n\t\tif !{on} {\n\t\t\ts.withdraw(jobs, true)\n\t\t}\n\t})\n",
		}},
	},
	{
		Name: "failed-result-forgotten", What: "results that the store did not take are not tried again",
		Edits: []Edit{{
			File: schedSettle,
			Old:  "\ts.tryLater(results, g.part.items)\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "failed-hand-back-forgotten", What: "a hand back that failed is not tried again",
		Edits: []Edit{{
			File: schedHandBack,
			Old:  "\t\ts.tryLater(handBacks, g.part.items)\n",
			As:   "\t\tif !{on} {\n\t\t{old}\t\t}\n",
		}},
	},
	{
		Name: "split-loses-a-part", What: "when a group of several is split after a fault, its last part is lost",
		Edits: []Edit{{
			File: schedHeld,
			Old:  "\tl.parts = append(parts, l.parts...)\n",
			As:   "\tif {on} {\n\t\tparts = parts[:len(parts)-1]\n\t}\n{old}",
		}},
	},
	{
		Name: "split-keeps-its-run", What: "a run whose group was split stays in use, so that its parts are never tried",
		Edits: []Edit{{
			File: schedHeld,
			Old:  "\ts.releaseRuns(g)\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "hand-back-keeps-its-run", What: "a run of which jobs were handed back stays in use",
		Edits: []Edit{{
			File: schedHandBack,
			Old:  "\ts.releaseRuns(g)\n",
			As:   "\tif !{on} {\n\t{old}\t}\n",
		}},
	},
	{
		Name: "transaction-not-given-back", What: "a transaction that waited for a locked run counts for ever",
		Edits: []Edit{{
			File: schedLane,
			Old:  "\t\ts.waitingTx--\n",
			As:   "\t\tif !{on} {\n\t\t{old}\t\t}\n",
		}},
	},
	{
		Name: "half-open-never-closes", What: "an outage does not end when a probe was answered",
		Edits: []Edit{{
			File: schedEvidence,
			Old:  "\t\tc.outage = outage{}\n",
			As:   "\t\tif !{on} {\n\t\t{old}\t\t}\n",
		}},
	},
	{
		Name: "probe-never-over", What: "a probe that has failed counts as under way for ever, so that there is no other",
		Edits: []Edit{{
			File: schedBreaker,
			Old:  "\t\tprobe.probing = false\n",
			As:   "\t\tif !{on} {\n\t\t{old}\t\t}\n",
		}},
	},
	{
		Name: "fault-interrupts-nothing", What: "a fault of the operator's that lasts does not close the runs that wait for its end",
		Edits: []Edit{{
			File: schedHandBack,
			Old:  "if i := it.job.interrupt; len(i.Templates) > 0 && !s.stopping {\n",
			As:   "if i := it.job.interrupt; len(i.Templates) > 0 && !s.stopping && !{on} {\n",
		}},
	},
	{
		Name: "piece-not-sent", What: "results that come while their job goes on are taken in and not recorded",
		Edits: []Edit{{
			File: schedPieces,
			Old:  "\t\t\ts.do(Accept{Job: j, N: n})\n\t\t\ts.sendPiece(j)\n",
			As:   "\t\t\ts.do(Accept{Job: j, N: n})\n\t\t\tif !{on} {\n\t\t\t\ts.sendPiece(j)\n\t\t\t}\n",
		}},
	},
	{
		Name: "refused-is-tried-for-ever", What: "a result that the store can never hold is tried again and again",
		Edits: []Edit{{
			File: schedSettle,
			Old:  "\tif fault == FaultRefused {\n",
			As:   "\tif fault == FaultRefused && !{on} {\n",
		}},
	},
	{
		Name: "refused-piece-forgotten", What: "a result that the store can never hold is dropped, as if its file had none",
		Edits: []Edit{{
			File: schedPieces,
			Old:  "\t\ts.do(Forfeit{Job: j})\n",
			As:   "\t\tif !{on} {\n\t\t\ts.do(Forfeit{Job: j})\n\t\t}\n",
		}},
	},
	{
		Name: "accept-forgotten", What: "an executor that reports a result waits for ever until it may go on",
		Edits: []Edit{{
			File: schedPieces,
			Old:  "\t\t\tp.pending = p.pending[n:]\n",
			As:   "{old}\t\t\tif {on} {\n\t\t\t\ts.sendPiece(j)\n\t\t\t\tcontinue\n\t\t\t}\n",
		}},
	},
}
