package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// InitiateRequest asks for a run of one template over files that are stored.
type InitiateRequest struct {
	Tenant   core.TenantID
	Template core.TemplateID
	// Upload has the files. Initiate ends it, whatever comes of it: they become the
	// run's, or nothing of them stays.
	Upload *Upload
	// Files are references of the caller's own, in place of an upload. They have to
	// stay for as long as the run does.
	Files         []core.NewFile
	MaxRetryCount *int // nil: core.DefaultMaxRetryCount
	// MaxPrice is the highest price that the caller accepts, in credits for the whole
	// run; nil: whatever it costs.
	MaxPrice *core.Credits
	// IdempotencyKey makes a repeat return the first answer, a refusal
	// included; empty for none.
	IdempotencyKey core.Key
}

// fingerprint tells a repeat of a request from another request under the same
// key. A file's digest stands for its content, or else its reference, which in
// earlier versions was made of the digest and gives the same fingerprint.
func (r InitiateRequest) fingerprint() string {
	h := sha256.New()
	line := make([]byte, 0, 256)
	line = strconv.AppendQuote(line, string(r.Tenant))
	line = strconv.AppendQuote(append(line, ' '), string(r.Template))
	if r.MaxRetryCount != nil {
		line = strconv.AppendInt(append(line, ' '), int64(*r.MaxRetryCount), 10)
	}
	line = appendMaxPrice(line, r.MaxPrice)
	h.Write(line)
	for i := range r.Files {
		f := &r.Files[i]
		line = strconv.AppendQuote(append(line[:0], '\n'), f.Name)
		content := string(f.Ref)
		if f.Digest != "" {
			content = "sha256:" + f.Digest
		}
		line = strconv.AppendQuote(append(line, ' '), content)
		line = strconv.AppendInt(append(line, ' '), f.Size, 10)
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// appendMaxPrice makes the accepted price a part of a fingerprint.
func appendMaxPrice(line []byte, most *core.Credits) []byte {
	if most == nil {
		return line
	}
	return strconv.AppendInt(append(line, " at most "...), int64(*most), 10)
}

// Initiate starts a run (spec 2): charge and run are committed together, then
// the jobs are enqueued. It gives the run as it was answered.
//
// Refusals: core.CodeInvalidRequest, CodeWrongTenant, CodeRoleNotAllowed,
// CodeTenantNotFound, CodeTemplateNotFound, CodeTemplateNotPublished,
// CodeTemplateDeleted, CodePriceChanged, CodeTenantSuspended, CodeInsufficientCredits, CodeIdempotencyKeyReused,
// and CodePayloadTooLarge of an upload: nothing was changed. CodeEnqueueFailed wraps the queue's error and comes with the run:
// it was refunded and closed, and a Continue runs it.
func (s *Service) Initiate(ctx context.Context, actor core.Actor, req InitiateRequest) (core.Run, error) {
	if req.Upload != nil {
		return s.initiateUpload(ctx, actor, req)
	}
	id, err := newID[core.RunID](s.ids)
	if err != nil {
		return core.Run{}, err
	}
	return s.initiate(ctx, actor, id, req)
}

func (s *Service) initiate(ctx context.Context, actor core.Actor, id core.RunID, req InitiateRequest) (core.Run, error) {
	if err := core.Authorize(actor, core.ActionInitiate, req.Tenant); err != nil {
		return core.Run{}, err
	}
	wanted := core.NewRun{
		ID: id, Files: req.Files, MaxRetryCount: req.MaxRetryCount,
		MaxFiles: s.opts.MaxFiles, MaxPrice: req.MaxPrice, By: actor,
	}
	if _, err := core.CheckNewRun(wanted); err != nil {
		return core.Run{}, err
	}
	if err := checkOptionalKey(req.IdempotencyKey); err != nil {
		return core.Run{}, err
	}

	fingerprint, before := "", ""
	if req.IdempotencyKey != "" {
		fingerprint = req.fingerprint()
		if req.Upload != nil {
			before = uploadFingerprint(req.Tenant, req.Template, req.MaxPrice)
		}
	}
	decide := func(ctx context.Context, in inputs) (*verdict, error) {
		given, err := in.read(ctx, startReads{template: req.Template, key: req.IdempotencyKey})
		if err != nil {
			return nil, err
		}
		memo := answerMemo{
			key: req.IdempotencyKey, tenant: req.Tenant, op: core.OperationInitiate,
			fingerprint: fingerprint, before: before, now: given.now,
		}
		if replay := memo.replay(given.answer); replay.done {
			return &verdict{decision: replay}, nil
		}
		if err := req.Upload.kept(); err != nil {
			return nil, err
		}
		if given.template == nil {
			return memo.refuse(templateNotFound(req.Template))
		}
		plan, err := core.PlanRun(wanted, *given.template, given.balance, given.now)
		if err != nil {
			return memo.refuse(err)
		}
		return memo.accept(ports.Start{New: true, Run: plan.Run, Files: plan.Files, Attempt: plan.Attempt, Charge: plan.Charge}, plan.Jobs), nil
	}
	return s.start(ctx, req.Tenant, &start{template: req.Template, files: len(req.Files), key: req.IdempotencyKey, decide: decide})
}

func post(ctx context.Context, tx ports.Tx, entries []core.Entry) error {
	for _, e := range entries {
		if _, err := tx.Ledger().Post(ctx, e); err != nil {
			return fmt.Errorf("post %s: %w", e.Key, err)
		}
	}
	return nil
}

// checkOptionalKey accepts no key, or one that can be used.
func checkOptionalKey(key core.Key) error {
	if key == "" {
		return nil
	}
	return core.CheckKey("Idempotency-Key", key)
}

// asRefusal tells refusals, which are decisions to be remembered, from faults.
func asRefusal(err error) (*core.Error, bool) {
	return errors.AsType[*core.Error](err)
}
