package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// UploadRequest is the request to upload the files of a new run.
type UploadRequest struct {
	Tenant        core.TenantID
	Template      core.TemplateID
	Files         int           // how many there will be; 0 if that is not known
	MaxRetryCount *int          // as in the InitiateRequest, if it is known already
	MaxPrice      *core.Credits // as in the InitiateRequest
	MaxFileBytes  int64         // the caller's own limit of one file; 0: only the executor's limit
	// IdempotencyKey is that of the InitiateRequest. A refusal is stored under it like
	// that of an initiation, and holds for every upload to this template, because the
	// files were not read. If an initiation was answered under it before, the upload is
	// only compared with the earlier request, and nothing is stored.
	IdempotencyKey core.Key
}

// BeginUpload checks all that can be checked before a byte is stored: the caller, the
// tenant, the template, and whether the balance covers the announced number of files, or
// one file.
//
// Refusals: core.CodeInvalidRequest, CodeWrongTenant, CodeRoleNotAllowed,
// CodeTenantNotFound, CodeTemplateNotFound, CodeTemplateNotPublished,
// CodeTemplateDeleted, CodePriceChanged, CodeTenantSuspended, CodeInsufficientCredits, CodeCreditsOutOfRange,
// CodeIdempotencyKeyReused, CodeUploadQuotaExceeded.
func (s *Service) BeginUpload(ctx context.Context, actor core.Actor, req UploadRequest) (*Upload, error) {
	if err := core.Authorize(actor, core.ActionInitiate, req.Tenant); err != nil {
		return nil, err
	}
	if err := checkOptionalKey(req.IdempotencyKey); err != nil {
		return nil, err
	}
	wanted := core.NewUpload{Files: req.Files, MaxRetryCount: req.MaxRetryCount, MaxFiles: s.opts.MaxFiles, MaxPrice: req.MaxPrice}
	if err := core.CheckNewUpload(wanted); err != nil {
		return nil, err
	}
	replay, err := s.mayUpload(ctx, req, wanted)
	if err != nil {
		return nil, err
	}
	id, err := newID[core.RunID](s.ids)
	if err != nil {
		return nil, err
	}
	if err := s.uploads.begin(req.Tenant, s.opts.MaxTenantUploads); err != nil {
		return nil, err
	}
	limit := req.MaxFileBytes
	if s.acceptor != nil && (limit <= 0 || s.acceptor.MaxFileBytes() < limit) {
		limit = s.acceptor.MaxFileBytes()
	}
	return &Upload{
		svc: s, tenant: req.Tenant, id: id, begun: s.clock.Now(), limit: max(0, limit), replay: replay,
	}, nil
}

// mayUpload decides without a lock. Only a refusal that has to be stored is decided again
// under the tenant's lock, which every repeat takes as well.
func (s *Service) mayUpload(ctx context.Context, req UploadRequest, wanted core.NewUpload) (replay bool, err error) {
	memo := answerMemo{
		key: req.IdempotencyKey, tenant: req.Tenant, op: core.OperationInitiate, fingerprint: req.fingerprint(),
	}
	err = s.store.View(ctx, req.Tenant, func(tx ports.Tx) (err error) {
		if replay, err = memo.answered(ctx, tx); err != nil || replay {
			return err
		}
		balance, err := tx.Ledger().Balance(ctx, core.PeriodOf(s.clock.Now()))
		if err != nil {
			return notFound(err, tenantNotFound(req.Tenant))
		}
		return decideUpload(ctx, tx, req, wanted, balance)
	})
	if refusal, ok := asRefusal(err); !ok || memo.key == "" || refusal.Code == core.CodeTenantNotFound {
		return replay, err
	}

	var decided decision
	err = s.store.InTx(ctx, req.Tenant, func(tx ports.Tx) error {
		decided = decision{}
		balance, now, err := s.lockBalance(ctx, tx, req.Tenant)
		if err != nil {
			return err
		}
		memo.now = now
		if replay, err = memo.answered(ctx, tx); err != nil || replay {
			return err
		}
		if err := decideUpload(ctx, tx, req, wanted, balance); err != nil {
			refused, err := memo.refuse(err)
			if err != nil {
				return err
			}
			decided = refused.decision
			return write(ctx, tx, refused)
		}
		return nil // the reason for the refusal is gone
	})
	if err == nil && decided.done {
		decided.tell(ctx)
		_, err = decided.answer()
	}
	return replay, err
}

func decideUpload(ctx context.Context, tx ports.Tx, req UploadRequest, wanted core.NewUpload, balance core.Balance) error {
	template, err := tx.Templates().Get(ctx, req.Template)
	if err != nil {
		return notFound(err, templateNotFound(req.Template))
	}
	return core.MayUpload(wanted, template, balance)
}

// answered reports whether a request with the upload's key was answered before. If that
// was an initiation, the files have to be compared; a refusal before the upload is
// returned as the error.
func (m answerMemo) answered(ctx context.Context, tx ports.Tx) (replay bool, err error) {
	if m.key == "" {
		return false, nil
	}
	answer, err := tx.Answers().Get(ctx, m.key)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case answer.Fingerprint == m.fingerprint:
		_, err := answer.Replay(m.op, m.fingerprint)
		if _, refused := asRefusal(err); refused && answer.Operation == m.op {
			decision{replay: true, kept: true}.tell(ctx)
		}
		return err == nil, err
	}
	return true, nil
}

// fingerprint is the fingerprint of refusals before an upload. It differs from those of
// initiations.
func (r UploadRequest) fingerprint() string {
	return uploadFingerprint(r.Tenant, r.Template, r.MaxPrice)
}

func uploadFingerprint(tenant core.TenantID, template core.TemplateID, most *core.Credits) string {
	sum := sha256.Sum256(appendMaxPrice([]byte("upload "+string(tenant)+" "+string(template)), most))
	return hex.EncodeToString(sum[:])
}
