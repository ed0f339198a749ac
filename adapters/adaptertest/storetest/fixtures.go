package storetest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// base is when everything in the fixtures begins. Stores keep microseconds.
var base = time.Date(2026, time.March, 4, 5, 6, 7, 891234000, time.UTC)

func at(minutes int) time.Time {
	return base.Add(time.Duration(minutes)*time.Minute + time.Duration(minutes)*time.Microsecond)
}

// horizon is beyond every time of these rows that is ahead of another.
const horizon = 30 * 24 * time.Hour

var march = core.Period{Year: 2026, Month: time.March}

// awkward is text that badly quoted SQL, JSON or CSV would damage.
const awkward = "O'Brien said \"50 % of \\n $1 -- {}\";\n\t<b>&amp;</b> \u2028 ñ 你好 🚀 e\u0301 \x7f"

// awkwardKey is the same for keys, which are printable ASCII.
const awkwardKey = `k'1"\$1%_,{}[]--;`

// world is one tenant with at least one row of every kind, with every field
// filled. Everything that it holds is as the store must give it back. Marks in
// its texts tell one tenant's rows from another's.
type world struct {
	tenant    core.Tenant
	template  core.Template
	versions  []core.TemplateVersion // newest first
	apiKeys   []core.APIKey          // ascending by ID
	running   core.Run               // attempt 1 is under way
	closed    core.Run               // attempt 1 was compensated
	files     []core.File
	attempts  []core.Attempt // of running, then of closed
	amendment core.Amendment
	entries   []core.Entry      // in order of Seq
	answer    core.Answer       // a success
	refusal   core.Answer       // a remembered refusal
	audit     []core.AuditEvent // the latest first
	bulk      core.BulkPart
	bulkRuns  []core.BulkRun // of bulk
	reply     core.Reply     // with a result and, as no use case has it, a refusal as well

	low        core.LowCredits
	endpoints  []core.WebhookEndpoint // by ID; the second has no deliveries
	deliveries []core.WebhookDelivery // newest first
}

// newWorld describes a tenant's world without storing it.
func newWorld(id core.TenantID) *world {
	mark := string(id) + " " + awkward
	by := core.Actor{Subject: "user of " + mark, Tenant: id, Role: core.RoleCustomerAdmin}
	w := &world{
		tenant: core.Tenant{ID: id, Name: "Tenant " + mark, MonthlyAllowance: math.MaxInt64, CreatedAt: at(0), SuspendedAt: at(8), SuspendedReason: "unpaid: " + mark},
		template: core.Template{
			ID: "template-1", Tenant: id, Name: "Template " + mark, Instructions: strings.Repeat("Do this: "+mark+"\n", 20),
			Version: 2, CreditsPerRun: 2, Mode: core.ModePerFile, Status: core.TemplatePublished,
			CreatedAt: at(1), UpdatedAt: at(2), DeletedAt: at(3),
		},
		files: filesOf(mark),
	}
	w.versions = []core.TemplateVersion{
		w.template.VersionBy(by, at(2)),
		{Tenant: id, Template: w.template.ID, Number: 1, Instructions: "at first: " + mark, By: core.System, At: at(1)},
	}
	w.apiKeys = []core.APIKey{
		{
			ID: "key-0", Tenant: id, Name: "Key of " + mark, Role: core.RoleCustomerAdmin, Hash: core.APIKeyHash(mark), CreatedBy: by,
			CreatedAt: at(1), ExpiresAt: at(100), RevokedAt: at(50), LastUsedAt: at(49),
		},
		{ID: "key-1", Tenant: id, Name: "x", Role: core.RolePlatformAdmin, Hash: core.APIKeyHash("1" + mark), CreatedBy: core.System, CreatedAt: at(2)},
	}
	w.running = core.Run{
		ID: core.RunID("run-" + string(id) + "-a"), Tenant: id, Template: w.template.ID, TemplateVersion: 1, Mode: core.ModePerFile,
		Status: core.RunRunning, Failure: core.Failure{Code: "provider_unauthorized", Message: "interrupted: " + mark}, CreatedBy: by, CreatedAt: at(10),
		MaxRetryCount: 4, Attempt: 1, Epoch: math.MaxInt64, Dispatch: core.DispatchConfirmed, LastRetriedAt: at(20),
		TotalJobs: 6, AttemptJobs: 5, CompletedJobs: 2, FailedJobs: 1,
		Tally:           core.TallyOf(w.files),
		CreditsConsumed: 14, CreditsFromMonthly: 11, CreditsFromPurchased: 3,
		RecoverAt: at(25), DispatchedAt: at(21), Redispatches: 3,
	}
	w.closed = w.running
	w.closed.ID = core.RunID("run-" + string(id) + "-b")
	w.closed.Status, w.closed.Reason, w.closed.ClosedAt = core.RunInterrupted, core.ReasonServiceFault, at(30)
	w.closed.TemplateVersion = 2
	w.closed.CreatedAt, w.closed.RecoverAt, w.closed.LastRetriedAt = at(9), time.Time{}, time.Time{}
	w.closed.CreditsConsumed, w.closed.CreditsFromMonthly, w.closed.CreditsFromPurchased = math.MaxInt64, math.MaxInt64-1, 1
	w.closed.MaxRetryCount = 5

	w.attempts = []core.Attempt{
		initiation(w.running, by, core.Split{Monthly: 11, Purchased: 1}),
		continuation(w.running, by, core.Split{Purchased: 2}),
		initiation(w.closed, by, core.Split{Monthly: 12}),
		continuation(w.closed, by, core.Split{Monthly: 1, Purchased: 1}),
	}
	w.attempts[3].CompensatedAt = at(31)
	w.amendment = core.Amendment{Tenant: id, Run: w.closed.ID, By: by, At: at(32), MaxRetryCountFrom: 4, MaxRetryCountTo: 5}
	w.entries = []core.Entry{
		{Tenant: id, Key: awkwardKey, Kind: core.EntryAllowance, Period: march, Amount: core.Split{Monthly: 1000}, Actor: core.System, At: at(4)},
		{Tenant: id, Key: "client/purchase", Kind: core.EntryPurchase, Period: march, Amount: core.Split{Purchased: 500}, Actor: by, At: at(5)},
		chargeOf(w.attempts[0]), chargeOf(w.attempts[1]), chargeOf(w.attempts[2]), chargeOf(w.attempts[3]),
		refundOf(w.attempts[3], at(31)),
		handRefundOf(w.attempts[2], "client/hand", core.Split{Monthly: 5}, "a bad day: "+mark),
	}
	for i := range w.entries {
		w.entries[i].Seq = int64(i) + 1
	}
	w.audit = []core.AuditEvent{
		{Tenant: id, ID: "event-2", At: at(7), Actor: core.System, Action: core.AuditTenantChanged, Target: mark},
		{
			Tenant: id, ID: "event-1", At: at(6), Actor: by, Action: core.AuditCreditsPurchased, Target: "client/purchase",
			Facts: core.AuditFacts{"amount": "500", "note": mark}, RequestID: "request-1",
		},
	}
	w.answer = core.Answer{
		Tenant: id, Key: awkwardKey, Operation: core.OperationContinue, Fingerprint: "print " + mark,
		Run: w.running, At: at(20),
	}
	w.refusal = core.Answer{
		Tenant: id, Key: "refused", Operation: core.OperationInitiate, Fingerprint: "print 2 " + mark, At: at(22), Run: w.closed,
		Refusal: &core.Error{
			Code: core.CodeMaxRetryCountExceeded, Message: "no: " + mark, Run: w.closed.ID, Files: []int{0, 3, 5},
			Needed: math.MaxInt64, Available: 7, Price: 9, Made: "made", Fields: []core.FieldError{{Field: "files[0].name", Message: mark}, {Field: "b", Message: "c"}},
		},
	}
	w.bulk = core.BulkPart{
		Tenant: id, Bulk: "bulk-1", CreatedAt: at(33), Fence: math.MaxInt64, LastAt: at(34),
		Totals: core.BulkTotals{
			Waiting: 1, Continued: 2, Refused: 3, Open: 4, Files: 5, Free: 6, Price: math.MaxInt64, Failures: core.BulkFailures{Closed: 7, Failed: 8},
			RefusedBy: map[core.Code]int{core.CodeNothingToRetry: 1, core.CodeInsufficientCredits: 2},
		},
	}
	w.bulkRuns = []core.BulkRun{
		{Place: 0, Run: w.closed.ID, State: core.BulkRunContinued, At: at(34), Attempt: 7, Price: math.MaxInt64 - 1, Files: 8, Free: 3, ErrorsBefore: 2, Open: true},
		{Place: 1, Run: w.running.ID, State: core.BulkRunRefused, At: at(35), Code: core.CodeRunAlreadyRunning, Message: "no: " + mark},
		{Place: 2, Run: "another", State: core.BulkRunContinued, At: at(35), Attempt: 1, Files: 9, ClosedAt: at(36), Status: core.RunFailed, FailedFiles: 4},
		{Place: 3, Run: "waits", State: core.BulkRunWaiting},
	}
	w.reply = core.Reply{
		Tenant: id, Operation: storetestOperation, Key: awkwardKey, Fingerprint: "print 3 " + mark,
		Result: []byte(`{"a": "\u0000 ` + "\u2028 ñ 你好" + `", "b":[1, 2.50]}`), Refusal: w.refusal.Refusal, At: at(23),
	}
	w.low = core.LowCredits{Threshold: math.MaxInt64, Told: true}
	w.endpoints, w.deliveries = webhooksOf(w, by, mark)
	return w
}

func webhooksOf(w *world, by core.Actor, mark string) ([]core.WebhookEndpoint, []core.WebhookDelivery) {
	e := core.WebhookEndpoint{
		ID: core.WebhookEndpointID("endpoint-" + w.tenant.ID + "-a"), Tenant: w.tenant.ID, URL: "https://example.com/" + mark, Description: "for " + mark,
		Types: core.WebhookEventTypes(), Pause: core.PausedByHand, PausedAt: at(33), Secret: "whsec_a", OldSecret: "whsec_b", OldSecretUntil: at(99),
		FailingSince: at(34), SucceededAt: at(32), CreatedBy: by, CreatedAt: at(6), UpdatedAt: at(33),
	}
	idle := core.WebhookEndpoint{
		ID: core.WebhookEndpointID("endpoint-" + w.tenant.ID + "-b"), Tenant: w.tenant.ID, URL: "https://example.com/", Types: []core.WebhookEventType{core.EventCreditsLow},
		Secret: "whsec_c", CreatedBy: by, CreatedAt: at(7), UpdatedAt: at(7),
	}
	event := core.ClosingEvent(w.running, true, at(35))
	event.Body = `{"text": "` + mark + `"}`
	return []core.WebhookEndpoint{e, idle}, []core.WebhookDelivery{
		{
			Tenant: w.tenant.ID, Endpoint: e.ID, Event: event, Status: core.DeliveryPending, Claim: 3, Tries: 2, DueAt: at(70),
			Log: []core.DeliveryTry{
				{Number: 2, At: at(36), Took: time.Second, Status: 500, Answer: "answer " + mark},
				{Number: 3, At: at(37), Took: time.Minute, Error: "no answer " + mark},
			},
		},
		core.NewDelivery(w.tenant.ID, e.ID, core.PingEvent("ping_1", e, at(34))),
	}
}

// storetestOperation is the operation of the world's reply.
const storetestOperation core.Operation = "storetest"

// filesOf gives one file in each status, and a second pending one.
func filesOf(mark string) []core.File {
	files := make([]core.File, 6)
	for i := range files {
		files[i] = core.File{
			Index: i, Name: fmt.Sprintf("%d %s.txt", i, mark), Ref: core.FileRef(fmt.Sprintf("ref-%d %s", i, mark)),
			Size: math.MaxInt64 - int64(i), Status: core.FilePending,
			RetryAttempt: i % 3, FreeRetries: i % 2 * (i % 3), Epoch: core.Epoch(math.MaxInt64 - i), Redeliveries: i, PaidBy: core.AttemptNumber(i % 2),
		}
	}
	files[1].Status, files[1].LeaseUntil = core.FileProcessing, at(40)
	files[2].Status, files[2].Output = core.FileCompleted, strings.Repeat("output of "+mark, 50)
	files[3].Status, files[3].Failure = core.FileFailed, core.Failure{Code: "rate_limited", Message: "failed: " + mark}
	files[4].Status, files[4].Failure = core.FileError, core.Failure{Code: "refused", Message: "error: " + mark}
	files[5].Failure = core.Failure{Code: "provider_unauthorized", Message: "interrupted: " + mark}
	for i := range files {
		files[i].OutputBytes = int64(len(files[i].Output))
	}
	return files
}

func initiation(r core.Run, by core.Actor, amount core.Split) core.Attempt {
	a := core.Attempt{
		Tenant: r.Tenant, Run: r.ID, Number: 0, Epoch: 1, Jobs: 6, RequestedBy: by, RequestedAt: r.CreatedAt, Price: 2,
		Charge: core.Charge{Key: core.ChargeKey(r.ID, 0), Period: march, Amount: amount},
		Files:  make([]core.AttemptFile, 6),
	}
	for i := range a.Files {
		a.Files[i] = core.AttemptFile{Index: i, Charged: true}
	}
	return a
}

func continuation(r core.Run, by core.Actor, amount core.Split) core.Attempt {
	return core.Attempt{
		Tenant: r.Tenant, Run: r.ID, Number: 1, Epoch: math.MaxInt64, Jobs: 2, RequestedBy: by, RequestedAt: at(20), Price: 2,
		Charge: core.Charge{Key: core.ChargeKey(r.ID, 1), Period: march, Amount: amount},
		Files: []core.AttemptFile{
			{Index: 0, Before: core.FileBefore{Status: core.FilePending, RetryAttempt: 13, FreeRetries: 5, Redeliveries: 2}},
			{Index: 3, Charged: true, Before: core.FileBefore{
				Status: core.FileFailed, RetryAttempt: 2, Redeliveries: 1, PaidBy: 1,
				Failure: core.Failure{Code: "timeout", Message: "before: " + by.Subject},
			}},
		},
		Before: core.RunBefore{
			Status: core.RunInterrupted, Reason: core.ReasonServiceFault, Failure: core.Failure{Code: "provider_quota_exhausted", Message: "before: " + by.Subject}, ClosedAt: at(15), LastRetriedAt: at(14),
			AttemptJobs: 6, CompletedJobs: 3, FailedJobs: 2,
		},
	}
}

func chargeOf(a core.Attempt) core.Entry {
	return core.Entry{
		Tenant: a.Tenant, Key: a.Charge.Key, Kind: core.EntryCharge, Period: a.Charge.Period, Amount: a.Charge.Amount,
		Run: a.Run, Attempt: a.Number, Actor: a.RequestedBy, At: a.RequestedAt,
	}
}

func refundOf(a core.Attempt, at time.Time) core.Entry {
	return core.Entry{
		Tenant: a.Tenant, Key: core.RefundKey(a.Run, a.Number), Kind: core.EntryRefund, Period: a.Charge.Period, Amount: a.Charge.Amount,
		Run: a.Run, Attempt: a.Number, Charge: a.Charge.Key, Actor: core.System, At: at,
	}
}

// handRefundOf is a part of a charge that a platform admin gave back.
func handRefundOf(a core.Attempt, key core.Key, amount core.Split, reason string) core.Entry {
	e := refundOf(a, at(33))
	e.Key, e.Amount, e.Reason = key, amount, reason
	return e
}

// build stores a world: what refers to something is written after it, as the
// use cases do.
func build(t *testing.T, s ports.Store, id core.TenantID) *world {
	t.Helper()
	w := newWorld(id)
	commit(t, s, id, w.insert)
	return w
}

func (w *world) insert(ctx context.Context, tx ports.Tx) error {
	if err := tx.Tenants().Insert(ctx, w.tenant); err != nil {
		return err
	}
	if err := tx.Templates().Insert(ctx, w.template); err != nil {
		return err
	}
	for _, v := range w.versions {
		if err := tx.TemplateVersions().Insert(ctx, v); err != nil {
			return err
		}
	}
	for _, k := range w.apiKeys {
		if err := tx.APIKeys().Insert(ctx, k); err != nil {
			return err
		}
	}
	for _, run := range []core.Run{w.running, w.closed} {
		if err := tx.Runs().Insert(ctx, run, w.files); err != nil {
			return err
		}
	}
	for _, a := range w.attempts {
		if err := tx.Attempts().Insert(ctx, a); err != nil {
			return err
		}
	}
	if err := tx.Amendments().Insert(ctx, w.amendment); err != nil {
		return err
	}
	for _, e := range w.entries {
		if _, err := tx.Ledger().Post(ctx, e); err != nil {
			return err
		}
	}
	for _, e := range w.audit {
		if err := tx.AuditLog().Insert(ctx, e); err != nil {
			return err
		}
	}
	for _, a := range []core.Answer{w.answer, w.refusal} {
		if err := tx.Answers().Insert(ctx, a); err != nil {
			return err
		}
	}
	if err := tx.BulkParts().Insert(ctx, w.bulk, w.bulkRuns); err != nil {
		return err
	}
	if err := tx.Replies().Insert(ctx, w.reply); err != nil {
		return err
	}
	if err := tx.WebhookEvents().SaveLowCredits(ctx, w.low); err != nil {
		return err
	}
	for _, e := range w.endpoints {
		if err := tx.WebhookEndpoints().Insert(ctx, e); err != nil {
			return err
		}
	}
	return tx.WebhookDeliveries().Insert(ctx, w.deliveries...)
}

// newRun describes another run of a world, not stored yet.
func (w *world) newRun(suffix string) core.Run {
	run := w.running
	run.ID = core.RunID("run-" + string(w.tenant.ID) + "-" + suffix)
	run.Attempt, run.Failure = 0, core.Failure{}
	return run
}

// bare stores a tenant with one published template and nothing else.
func bare(t *testing.T, s ports.Store, id core.TenantID) (core.Tenant, core.Template) {
	t.Helper()
	w := newWorld(id)
	w.tenant, w.template.DeletedAt = w.tenant.Reopen(), time.Time{}
	commit(t, s, id, func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Tenants().Insert(ctx, w.tenant))
		return tx.Templates().Insert(ctx, w.template)
	})
	return w.tenant, w.template
}
