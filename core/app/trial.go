package app

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// ErrTrialsBusy says that Options.MaxTrials trials are running: try again in a moment. It
// wraps ports.ErrUnavailable.
var ErrTrialsBusy = fmt.Errorf("app: too many trials of templates at once: %w", ports.ErrUnavailable)

// TryTemplate executes the present version of a template, published or not, on one file
// and gives the result. There is no run, nothing is charged and nothing is stored, but
// the provider does get the requests, with in-job retries. A trial that takes longer than
// Options.TrialTimeout ends as a transient result with core.FailureTimeout. content is
// not changed.
//
// Refusals, in this order: core.CodeWrongTenant, CodeRoleNotAllowed,
// CodeTemplateNotFound, CodeTemplateDeleted, CodeTenantSuspended, CodeInvalidRequest and CodePayloadTooLarge,
// both with the field "file": then the executor was not called. ErrTrialsBusy is not a
// refusal.
func (s *Service) TryTemplate(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.TemplateID, name string, content []byte) (core.FileResult, error) {
	if err := core.Authorize(actor, core.ActionManageTemplates, tenant); err != nil {
		return core.FileResult{}, err
	}
	template, err := s.Template(ctx, actor, tenant, id)
	if err != nil {
		return core.FileResult{}, err
	}
	if err := template.NotDeleted(); err != nil {
		return core.FileResult{}, err
	}
	if err := s.triable(name, content); err != nil {
		return core.FileResult{}, err
	}
	select {
	case s.trials <- struct{}{}:
		defer func() { <-s.trials }()
	default:
		return core.FileResult{}, ErrTrialsBusy
	}
	owner, err := s.Tenant(ctx, actor, tenant) // last: what is suspended from here on lets this one trial pass
	if err != nil {
		return core.FileResult{}, err
	}
	if err := owner.NotSuspended(); err != nil {
		return core.FileResult{}, err
	}
	began := s.clock.Now()
	result, err := s.trial(ctx, template, name, content)
	if err == nil {
		s.log.InfoContext(ctx, "a template was tried", "tenant", tenant, "template", id, "version", template.Version, "by", actor.Subject,
			"bytes", len(content), "outcome", result.Outcome, "failure", result.Failure.Code, "took", s.clock.Now().Sub(began))
	}
	return result, err
}

// triable refuses a file before the executor is called, as an upload does.
func (s *Service) triable(name string, content []byte) error {
	if e, ok := asRefusal(core.CheckFileName(0, name)); ok {
		return core.InvalidField("file", "its name %s", e.Fields[0].Message)
	}
	if s.acceptor == nil {
		return nil
	}
	if most := s.acceptor.MaxFileBytes(); int64(len(content)) > most {
		return &core.Error{
			Code: core.CodePayloadTooLarge, Message: "the file is too large to be tried; nothing was charged",
			Fields: []core.FieldError{{Field: "file", Message: fmt.Sprintf("may have at most %d bytes", most)}},
		}
	}
	if failure := s.acceptor.Accept(name, content); failure != nil {
		return core.InvalidField("file", "%s", failure.Message)
	}
	return nil
}

// trial executes one file within Options.TrialTimeout.
func (s *Service) trial(ctx context.Context, template core.Template, name string, content []byte) (core.FileResult, error) {
	// The job belongs to no run. Its ID is new, so that a provider with idempotency keys
	// does not answer one trial with the result of another.
	run, err := newID[core.RunID](s.ids)
	if err != nil {
		return core.FileResult{}, err
	}
	task := ports.Task{
		Job:      core.Job{Tenant: template.Tenant, Run: run, ID: core.FileJobID(run, 0), Epoch: 1, Files: []int{0}, Template: template.ID},
		Template: template,
		Files: []ports.TaskFile{{
			Name: name, Size: int64(len(content)),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		}},
	}
	policy := s.opts.Retry
	policy.Budget = min(policy.Budget, s.opts.TrialTimeout)
	bounded, cancel := context.WithTimeout(ctx, s.opts.TrialTimeout)
	defer cancel()
	results, err := s.execute(bounded, task, policy, nil)
	switch {
	case ctx.Err() != nil:
		return core.FileResult{}, ctx.Err()
	case bounded.Err() != nil && err != nil:
		return core.FileResult{Outcome: core.OutcomeTransient, Failure: core.Failure{
			Code: core.FailureTimeout, Message: fmt.Sprintf("there was no result within %s, the timeout of a trial", s.opts.TrialTimeout),
		}}, nil
	case err != nil:
		return core.FileResult{}, err
	}
	return results[0], nil
}
