package core

import (
	"cmp"
	"fmt"
	"slices"
)

// Difference is one recorded value that differs from what the ledger's entries add up
// to.
type Difference struct {
	Tenant     TenantID
	What       string
	Recorded   string
	Recomputed string
}

// Audit recomputes a tenant's balances and its runs' credit fields from its ledger
// entries (I1 to I4). Pass it every entry in order of Seq, then every recorded balance
// and run, then call Differences. The zero value is not usable; see NewAudit.
type Audit struct {
	tenant  TenantID
	entries int
	// Sums are plain signed numbers: a sum below zero is a difference to report, and not
	// a reason to stop.
	monthly   map[Period]Credits
	purchased Credits
	runs      map[RunID]Split
	charges   map[Key]Entry
	refunded  map[Key]Key   // by Redrive itself, wholly
	returned  map[Key]Split // by all refunds together
	keys      map[Key]bool
	recorded  map[Period]bool
	seenRuns  map[RunID]bool
	found     []Difference
}

// NewAudit begins the audit of one tenant.
func NewAudit(tenant TenantID) *Audit {
	return &Audit{
		tenant: tenant, monthly: map[Period]Credits{}, runs: map[RunID]Split{}, charges: map[Key]Entry{},
		refunded: map[Key]Key{}, returned: map[Key]Split{}, keys: map[Key]bool{}, recorded: map[Period]bool{}, seenRuns: map[RunID]bool{},
	}
}

// Entry adds one ledger entry.
func (a *Audit) Entry(e Entry) {
	a.entries++
	if e.Seq != int64(a.entries) {
		a.report(fmt.Sprintf("entry %s: seq", e.Key), e.Seq, a.entries)
	}
	if e.Tenant != a.tenant {
		a.report(fmt.Sprintf("entry %s: tenant", e.Key), e.Tenant, a.tenant)
	}
	if a.keys[e.Key] {
		a.report(fmt.Sprintf("entry %s: key", e.Key), "used again", "used once")
	}
	a.keys[e.Key] = true
	if e.Amount.Monthly < 0 || e.Amount.Purchased < 0 {
		a.report(fmt.Sprintf("entry %s: amount", e.Key), e.Amount, "0 or more")
	}
	sign := Credits(1)
	if !e.Credit() {
		sign = -1
	}
	a.monthly[e.Period] += sign * e.Amount.Monthly
	a.purchased += sign * e.Amount.Purchased
	if a.monthly[e.Period] < 0 || a.purchased < 0 {
		a.report(fmt.Sprintf("entry %s: balance after it", e.Key), "below zero", "0 or more")
	}
	switch e.Kind {
	case EntryCharge:
		if want := ChargeKey(e.Run, e.Attempt); e.Key != want {
			a.report("charge of run "+string(e.Run), e.Key, want)
		}
		a.charges[e.Key] = e
		sum := a.runs[e.Run]
		a.runs[e.Run] = Split{sum.Monthly + e.Amount.Monthly, sum.Purchased + e.Amount.Purchased}
	case EntryRefund:
		a.refund(e)
	case EntryAllowance, EntryPurchase:
	default:
		a.report(fmt.Sprintf("entry %s: kind", e.Key), e.Kind, "allowance, purchase, charge or refund")
	}
}

func (a *Audit) refund(e Entry) {
	charge, ok := a.charges[e.Charge]
	if !ok {
		a.report(fmt.Sprintf("refund %s: charge", e.Key), e.Charge, "no such charge")
		return
	}
	back := a.returned[e.Charge]
	back = Split{back.Monthly + e.Amount.Monthly, back.Purchased + e.Amount.Purchased}
	a.returned[e.Charge] = back
	by, twice := a.refunded[e.Charge]
	switch {
	case twice:
		a.report(fmt.Sprintf("charge %s: refunds", e.Charge), e.Key, "already refunded by "+string(by))
	case e.Reason == "" && e.Amount != charge.Amount: // reported below
	case back.Monthly > charge.Amount.Monthly || back.Purchased > charge.Amount.Purchased:
		a.report(fmt.Sprintf("charge %s: refunds", e.Charge), back, fmt.Sprint("at most ", charge.Amount))
	}
	if e.Reason == "" {
		a.refunded[e.Charge] = e.Key
	}
	if e.Reason == "" && e.Amount != charge.Amount || e.Period != charge.Period || e.Run != charge.Run || e.Attempt != charge.Attempt {
		a.report(fmt.Sprintf("refund %s: split and period", e.Key),
			fmt.Sprint(e.Amount, e.Period, e.Run, e.Attempt), fmt.Sprint(charge.Amount, charge.Period, charge.Run, charge.Attempt))
	}
	sum := a.runs[e.Run]
	a.runs[e.Run] = Split{sum.Monthly - e.Amount.Monthly, sum.Purchased - e.Amount.Purchased}
}

// Balance checks the recorded balance of one period.
func (a *Audit) Balance(b Balance) {
	a.recorded[b.Period] = true
	if want := a.monthly[b.Period]; b.Monthly != want {
		a.report("monthly left of "+b.Period.String(), b.Monthly, want)
	}
	if b.Purchased != a.purchased {
		a.report("purchased balance", b.Purchased, a.purchased)
	}
}

// Counts gives the numbers of entries and runs that were passed.
func (a *Audit) Counts() (entries, runs int) { return a.entries, len(a.seenRuns) }

// Run checks a run's credit fields.
func (a *Audit) Run(r Run) {
	a.seenRuns[r.ID] = true
	if want := a.runs[r.ID]; (Split{r.CreditsFromMonthly, r.CreditsFromPurchased}) != want {
		a.report("credits of run "+string(r.ID), Split{r.CreditsFromMonthly, r.CreditsFromPurchased}, want)
	}
	if sum := r.CreditsFromMonthly + r.CreditsFromPurchased; r.CreditsConsumed != sum {
		a.report("creditsConsumed of run "+string(r.ID), r.CreditsConsumed, sum)
	}
}

// Work checks that the paid work of a run can still be done (I12): by the workers while
// the run is RUNNING, else by a Continue. counts are its files by status; maxed says
// whether one of them is Maxed.
func (a *Audit) Work(r Run, files FileCounts, anyMaxed, templateThere bool) {
	where := "paid work of run " + string(r.ID)
	unfinished := files.Pending + files.Processing
	waiting := fmt.Sprintf("%d files are paid for and wait", unfinished)
	if want := files.Tally(); r.Tally != want {
		a.report("files of run "+string(r.ID), fmt.Sprintf("%+v", r.Tally), fmt.Sprintf("%+v", want))
	}
	switch {
	case r.Status == RunRunning && unfinished == 0:
		a.report(where, "RUNNING with nothing to wait for", "a closed run")
	case r.Status == RunRunning && unfinished == files.Interrupted:
		a.report(where, "RUNNING, and every file that is left waits for a Continue", "an INTERRUPTED run")
	case r.Status == RunRunning && r.RecoverAt.IsZero():
		a.report(where, "RUNNING, and recovery never looks at it", "due for recovery")
	case unfinished == 0:
	case r.Status == RunCompleted:
		a.report(where, waiting+" in a COMPLETED run", "a run that can be continued")
	case r.Status != RunRunning && files.Processing > 0:
		a.report(where, fmt.Sprintf("%d files are processing in a closed run", files.Processing), "pending files")
	case !templateThere:
		a.report(where, waiting+", and the template or its version is gone", "a template to work with")
	case r.Status != RunRunning && anyMaxed && r.MaxRetryCount >= MaxMaxRetryCount:
		a.report(where, waiting+" behind a file that has used all its retries, and maxRetryCount cannot be raised any more", "a Continue that is accepted")
	}
}

// Differences gives all differences; none means that the ledger and the records agree.
// Call it after every entry, balance and run was passed.
func (a *Audit) Differences() []Difference {
	found := slices.Clone(a.found)
	for p, left := range a.monthly {
		if !a.recorded[p] && left != 0 {
			found = append(found, a.difference("monthly left of "+p.String(), "no balance", left))
		}
	}
	for id, sum := range a.runs {
		if !a.seenRuns[id] {
			found = append(found, a.difference("credits of run "+string(id), "no such run", sum))
		}
	}
	slices.SortStableFunc(found, func(x, y Difference) int { return cmp.Compare(x.What, y.What) })
	return found
}

func (a *Audit) report(what string, recorded, recomputed any) {
	a.found = append(a.found, a.difference(what, recorded, recomputed))
}

func (a *Audit) difference(what string, recorded, recomputed any) Difference {
	return Difference{
		Tenant: a.tenant, What: what,
		Recorded: fmt.Sprint(recorded), Recomputed: fmt.Sprint(recomputed),
	}
}
