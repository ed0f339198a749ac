package httpapi

import (
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// The one place where the domain's values become wire types.

// toActor leaves the actor's own tenant out: the tenant that a platform admin acted for
// need not know which tenant the admin belongs to.
func toActor(a core.Actor) actorJSON { return actorJSON{Subject: a.Subject, Role: string(a.Role)} }

func toSplit(s core.Split) splitJSON {
	return splitJSON{Monthly: int64(s.Monthly), Purchased: int64(s.Purchased)}
}

func toRun(v app.RunView) runJSON {
	r := v.Run
	return runJSON{
		ID: string(r.ID), Tenant: string(r.Tenant), Template: string(r.Template), Mode: string(r.Mode),
		TemplateVersion: r.TemplateVersion, Status: string(r.Status), Reason: string(r.Reason), Failure: toFailure(r.Failure),
		CreatedBy: toActor(r.CreatedBy), CreatedAt: r.CreatedAt, ClosedAt: r.ClosedAt,
		MaxRetryCount: r.MaxRetryCount, Attempt: int(r.Attempt), LastRetriedAt: r.LastRetriedAt,
		TotalJobs: r.TotalJobs, AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
		FileCounts: fileCountsJSON{
			Total: r.Tally.Total(), Unfinished: r.Tally.Unfinished, Completed: r.Tally.Completed,
			Failed: r.Tally.Failed, Error: r.Tally.Error,
		},
		CreditsConsumed:    int64(r.CreditsConsumed),
		CreditsFromMonthly: int64(r.CreditsFromMonthly), CreditsFromPurchased: int64(r.CreditsFromPurchased),
		Continuable: toContinuable(v.Refusal),
	}
}

func toContinuable(refusal error) continuableJSON {
	if refusal == nil {
		return continuableJSON{OK: true}
	}
	e, ok := errors.AsType[*core.Error](refusal)
	if !ok {
		return continuableJSON{Code: string(codeInternal), Reason: internalDetail}
	}
	return continuableJSON{Code: string(e.Code), Reason: e.Message}
}

func (a *api) toFiles(run core.RunID, files []core.File) []fileJSON {
	list := make([]fileJSON, len(files))
	for i, f := range files {
		list[i] = fileJSON{
			Index: f.Index, Name: f.Name, Size: f.Size, Status: string(f.Status),
			RetryAttempt: f.RetryAttempt, FreeRetries: f.FreeRetries, Failure: toFailure(f.Failure),
		}
		if f.Status != core.FileCompleted {
			continue
		}
		list[i].OutputBytes, list[i].OutputURL = &files[i].OutputBytes, a.outputURL(run, f.Index)
		if int64(len(f.Output)) == f.OutputBytes {
			list[i].Output = &files[i].Output
		}
	}
	return list
}

func toFailure(f core.Failure) *failureJSON {
	if f.Code == "" {
		return nil
	}
	return &failureJSON{Code: f.Code, Message: cut(f.Message, maxFailureMessage)}
}

func toPreview(p app.Preview) previewJSON {
	answer := previewJSON{Files: []int{}, Available: int64(p.Balance.Available())}
	if p.Refusal != nil {
		answer.Refusal = &refusalJSON{Code: string(p.Refusal.Code), Reason: p.Refusal.Message, factsJSON: toFacts(p.Refusal)}
		return answer
	}
	for _, f := range p.Plan.Files {
		answer.Files = append(answer.Files, f.Index)
	}
	answer.OK, answer.Charged, answer.Free = true, p.Plan.Charged, p.Plan.Free
	answer.Price, answer.Split = int64(p.Plan.Price()), toSplit(p.Plan.Attempt.Charge.Amount)
	return answer
}

// toFacts gives the facts that belong to the code, and no others.
func toFacts(e *core.Error) factsJSON {
	facts := factsJSON{Files: e.Files, Run: string(e.Run), Made: e.Made}
	if e.Code == core.CodeInsufficientCredits {
		needed, available := int64(e.Needed), int64(e.Available)
		facts.Needed, facts.Available = &needed, &available
	}
	if e.Code == core.CodeRefundTooLarge {
		available := int64(e.Available)
		facts.Available = &available
	}
	if e.Code == core.CodePriceChanged {
		price := int64(e.Price)
		facts.Price = &price
	}
	for _, f := range e.Fields {
		facts.Errors = append(facts.Errors, fieldErrorJSON{Field: f.Field, Message: f.Message})
	}
	return facts
}

func toProblem(e *core.Error, to answerTo, prefix, instance, requestID string) problemJSON {
	return problemJSON{
		Type: prefix + problemsPath + string(e.Code), Title: to.title, Status: to.status, Detail: e.Message,
		Instance: prefix + instance, Code: string(e.Code), RequestID: requestID, factsJSON: toFacts(e),
	}
}

func toReceipt(r core.Receipt) receiptJSON {
	answer := receiptJSON{
		Run: string(r.Run), Total: toSplit(r.Total), TemplateVersion: r.TemplateVersion,
		Attempts: make([]attemptReceiptJSON, len(r.Attempts)), Amendments: make([]amendmentJSON, len(r.Amendments)),
	}
	for i, part := range r.Attempts {
		a := part.Attempt
		receipt := attemptReceiptJSON{
			Attempt: int(a.Number), RequestedBy: toActor(a.RequestedBy), RequestedAt: a.RequestedAt, Jobs: a.Jobs,
			PricePerFile: int64(a.Price), RefundEntry: string(part.Refund), CompensatedAt: a.CompensatedAt,
			Files: make([]receiptLineJSON, len(part.Lines)),
		}
		if !a.Charge.IsZero() {
			receipt.Charge = &chargeJSON{Entry: string(a.Charge.Key), Period: a.Charge.Period.String(), Split: toSplit(a.Charge.Amount)}
		}
		for j, line := range part.Lines {
			receipt.Files[j] = receiptLineJSON{Index: line.Index, Kind: string(line.Kind), Why: string(line.Why), Credits: int64(line.Credits), Interrupted: toFailure(line.Interrupted)}
		}
		for _, e := range part.ByHand {
			receipt.RefundsByHand = append(receipt.RefundsByHand, toEntry(e))
		}
		answer.Attempts[i] = receipt
	}
	for i, x := range r.Amendments {
		answer.Amendments[i] = amendmentJSON{By: toActor(x.By), At: x.At, From: x.MaxRetryCountFrom, To: x.MaxRetryCountTo}
	}
	return answer
}

func toBalance(tenant core.TenantID, b core.Balance) balanceJSON {
	return balanceJSON{
		Tenant: string(tenant), Period: b.Period.String(),
		Monthly: int64(b.Monthly), Purchased: int64(b.Purchased), Available: int64(b.Available()), Suspended: b.Suspended,
	}
}

func toTemplate(t core.Template) templateJSON {
	return templateJSON{
		ID: string(t.ID), Tenant: string(t.Tenant), Name: t.Name, Instructions: t.Instructions,
		Version: t.Version, CreditsPerRun: int64(t.CreditsPerRun), Mode: string(t.Mode), Status: string(t.Status),
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, DeletedAt: t.DeletedAt,
	}
}

func toTemplateVersions(list []core.TemplateVersion) []templateVersionJSON {
	versions := make([]templateVersionJSON, len(list))
	for i, v := range list {
		versions[i] = templateVersionJSON{Version: v.Number, Instructions: v.Instructions, By: toActor(v.By), At: v.At}
	}
	return versions
}

func toTenant(t core.Tenant) tenantJSON {
	return tenantJSON{
		ID: string(t.ID), Name: t.Name, MonthlyAllowance: int64(t.MonthlyAllowance), CreatedAt: t.CreatedAt,
		SuspendedAt: t.SuspendedAt, SuspendedReason: t.SuspendedReason,
	}
}

func toEntries(entries []core.Entry) []entryJSON {
	list := make([]entryJSON, len(entries))
	for i, e := range entries {
		list[i] = toEntry(e)
	}
	return list
}

func toEntry(e core.Entry) entryJSON {
	entry := entryJSON{
		Seq: e.Seq, Key: string(e.Key), Kind: string(e.Kind), Period: e.Period.String(), Amount: toSplit(e.Amount),
		Run: string(e.Run), Charge: string(e.Charge), Reason: e.Reason, Actor: toActor(e.Actor), At: e.At,
	}
	if e.Run != "" {
		attempt := int(e.Attempt)
		entry.Attempt = &attempt
	}
	return entry
}
