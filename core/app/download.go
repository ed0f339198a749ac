package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// downloadsUnderWay counts the downloads of this Service of one kind, so that no tenant
// takes the memory or the connections of all: a client may read as slowly as it likes.
type downloadsUnderWay struct{ places }

// enter takes a place, or refuses with core.CodeTooManyDownloads. what is what is downloaded,
// for the refusal.
func (d *downloadsUnderWay) enter(tenant core.TenantID, most, mostOfTenant int, what string) (leave func(), err error) {
	leave, all, ofTenant := d.places.enter(tenant, most, mostOfTenant)
	if leave != nil {
		return leave, nil
	}
	e := &core.Error{Code: core.CodeTooManyDownloads}
	if ofTenant >= mostOfTenant && mostOfTenant > 0 {
		e.Message = fmt.Sprintf("%d downloads of this tenant's %s are under way, as many as may be at once; wait until one of them is done", ofTenant, what)
	} else {
		e.Message = fmt.Sprintf("this server sends %d downloads of %s, as many as it can at once; wait until one of them is done", all, what)
	}
	return nil, e
}

// enterFile takes the place of an answer that is no run's outputs.
func (s *Service) enterFile(tenant core.TenantID) (leave func(), err error) {
	return s.fileDownloads.enter(tenant, s.opts.MaxFileDownloads, s.opts.MaxTenantFileDownloads, "files")
}

// Download takes a place among the downloads of single files for another long answer of a
// tenant's, such as its ledger. Call leave when it is written; a repeat has no effect.
// Refusals: core.CodeWrongTenant, core.CodeTooManyDownloads.
func (s *Service) Download(actor core.Actor, tenant core.TenantID) (leave func(), err error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return nil, err
	}
	return s.enterFile(tenant)
}

// DownloadOutput is FileOutput for a client that reads the output as slowly as it likes: it
// has a place, which is taken before the output is read. Call leave when it is written; a
// repeat has no effect. Refusals: as FileOutput, and core.CodeTooManyDownloads.
func (s *Service) DownloadOutput(ctx context.Context, actor core.Actor, id core.RunID, index int) (file core.File, leave func(), err error) {
	err = s.viewRun(ctx, actor, id, func(tx ports.Tx, run core.Run) (err error) {
		if leave == nil { // else the store repeats the read
			if leave, err = s.enterFile(run.Tenant); err != nil {
				return err
			}
		}
		file, err = tx.FileViews().Output(ctx, id, index)
		return notFound(err, fileNotFound(id, index))
	})
	if err != nil {
		if leave != nil {
			leave()
		}
		return core.File{}, nil, err
	}
	return file, leave, nil
}

// FileInput reads one file of a run, without its output, and opens its uploaded content,
// which has a place among the downloads until the caller closes it. A damaged content gives
// an error at its end. Refusals: as Run, core.CodeTooManyDownloads, and
// core.CodeFileNotFound, which wraps ports.ErrNotFound if the run has the file and only
// its stored content is missing.
func (s *Service) FileInput(ctx context.Context, actor core.Actor, id core.RunID, index int) (core.File, io.ReadCloser, error) {
	var file core.File
	var tenant core.TenantID
	err := s.viewRun(ctx, actor, id, func(tx ports.Tx, run core.Run) error {
		tenant = run.Tenant
		files, err := tx.FileViews().Page(ctx, id, ports.FileFilter{From: max(0, index), Limit: 1})
		if err != nil {
			return err
		}
		if len(files) == 0 || files[0].Index != index {
			return fileNotFound(id, index)
		}
		file = files[0]
		return nil
	})
	if err != nil {
		return core.File{}, nil, err
	}
	leave, err := s.enterFile(tenant)
	if err != nil {
		return core.File{}, nil, err
	}
	content, err := s.files.Open(ctx, tenant, file.Ref)
	if errors.Is(err, ports.ErrNotFound) {
		err = &core.Error{
			Code: core.CodeFileNotFound, Run: id, Err: err,
			Message: fmt.Sprintf("the stored content of file %d is gone; ask the operator of this server, who may have it in a backup", index),
		}
	}
	if err != nil {
		leave()
		return core.File{}, nil, err
	}
	return file, placed{content, leave}, nil
}

// placed is a content that has a place until it is closed.
type placed struct {
	io.ReadCloser
	leave func()
}

// Close implements io.Closer.
func (p placed) Close() error {
	defer p.leave()
	return p.ReadCloser.Close()
}
