package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// MaxNamedFiles is how many refused files of an upload are named at most.
const MaxNamedFiles = 20

// Upload is the files of a run that does not exist yet; the upload's ID will be the run's.
// It ends with Initiate or Discard, one of which has to be called. A Discard after an
// Initiate has no effect and can be deferred. Its methods are for one goroutine at a time.
type Upload struct {
	svc    *Service
	tenant core.TenantID
	id     core.RunID
	begun  time.Time
	limit  int64 // bytes of one file; 0 for none
	replay bool  // the request was answered before: nothing is stored
	state  uploadState

	marked  bool         // it was begun in Files, or may have been
	into    ports.Upload // nil until the first content
	added   int          // refused ones included
	files   []core.NewFile
	refused []core.FieldError // one a file
	large   bool              // one of them is too large
	failed  error             // the error with which a file was not stored; that file is missing
	bytes   int64             // that count against the tenant's quota
	buffer  bytes.Buffer
}

type uploadState uint8

const (
	uploadOpen     uploadState = iota
	uploadDeciding             // a transaction may make it a run
	uploadEnded
)

// Add adds one file, completely or not at all. If the executor is a ports.Acceptor, the
// file is read into memory and checked, so that a file that it does not accept is refused
// here, before anything is charged.
//
// A refusal of one file is core.CodeInvalidRequest or CodePayloadTooLarge, with the file
// in Fields. Initiate will then refuse the whole upload. More files may be added to find
// all refused files; they are not stored. Any other refusal (CodeUploadQuotaExceeded, too
// many files) and any fault (ports.ErrFull) concerns the whole upload. An error of reading
// content is returned as it is.
func (u *Upload) Add(ctx context.Context, name string, content io.Reader) (core.NewFile, error) {
	if u.state != uploadOpen {
		return core.NewFile{}, errUploadEnded
	}
	index, most := u.added, u.svc.opts.MaxFiles
	if index >= most {
		return core.NewFile{}, u.fail(core.InvalidField("files", "may be at most %d files", most))
	}
	u.added++
	if u.replay {
		f, err := u.compared(name, content)
		return f, u.fail(err)
	}
	if err := core.CheckFileName(index, name); err != nil {
		if e, ok := asRefusal(err); ok {
			return core.NewFile{}, u.refuse(e.Fields[0], false)
		}
		return core.NewFile{}, err
	}
	if u.svc.acceptor != nil {
		if err := u.inspect(index, name, content); err != nil {
			return core.NewFile{}, err
		}
		content = bytes.NewReader(u.buffer.Bytes())
	}
	metered := &meteredReader{upload: u, from: content}
	stored, err := u.store(ctx, metered)
	if err == nil && len(u.refused) == 0 {
		f := core.NewFile{Name: name, Ref: stored.Ref, Size: stored.Size, Digest: stored.Digest}
		u.files = append(u.files, f)
		return f, nil
	}
	metered.giveBack()
	// The reader's error comes first: the store may return another error because of it.
	switch {
	case metered.tooLarge:
		return core.NewFile{}, u.tooLarge(index, name)
	case metered.err != nil:
		err = metered.err
	}
	return core.NewFile{}, u.fail(err)
}

// fail records that a file is missing, so that no run is made without it.
func (u *Upload) fail(err error) error {
	if u.failed == nil {
		u.failed = err
	}
	return err
}

// inspect reads a file into memory and checks whether the executor accepts it.
func (u *Upload) inspect(index int, name string, content io.Reader) error {
	u.buffer.Reset()
	if _, err := u.buffer.ReadFrom(io.LimitReader(content, u.limit+1)); err != nil {
		return u.fail(err)
	}
	if int64(u.buffer.Len()) > u.limit {
		return u.tooLarge(index, name)
	}
	if failure := u.svc.acceptor.Accept(name, u.buffer.Bytes()); failure != nil {
		return u.refuse(fileField(index, name, failure.Message), false)
	}
	return nil
}

func (u *Upload) tooLarge(index int, name string) error {
	return u.refuse(fileField(index, name, fmt.Sprintf("may have at most %d bytes", u.limit)), true)
}

func fileField(index int, name, problem string) core.FieldError {
	return core.FieldError{Field: fmt.Sprintf("files[%d]", index), Message: fmt.Sprintf("%q: %s", name, problem)}
}

// store stores a content. After a refused file it only reads the content, to check its
// size.
func (u *Upload) store(ctx context.Context, content io.Reader) (ports.Stored, error) {
	if len(u.refused) > 0 {
		_, err := io.Copy(io.Discard, content)
		return ports.Stored{}, err
	}
	if u.into == nil {
		u.marked = true
		into, err := u.svc.files.Begin(ctx, u.tenant, u.id, u.begun)
		if err != nil {
			return ports.Stored{}, err
		}
		u.into = into
	}
	return u.into.Add(ctx, content)
}

// compared reads a file of a request that was answered before, for the comparison of the
// fingerprints.
func (u *Upload) compared(name string, content io.Reader) (core.NewFile, error) {
	hash := sha256.New()
	size, err := io.Copy(hash, content)
	if err != nil {
		return core.NewFile{}, err
	}
	f := core.NewFile{Name: name, Size: size, Digest: hex.EncodeToString(hash.Sum(nil))}
	u.files = append(u.files, f)
	return f, nil
}

// refuse records why a file is refused, and gives the refusal.
func (u *Upload) refuse(f core.FieldError, large bool) error {
	u.refused, u.large = append(u.refused, f), u.large || large
	return u.refusal(large, f)
}

func (u *Upload) refusal(large bool, fields ...core.FieldError) *core.Error {
	e := &core.Error{Code: core.CodeInvalidRequest, Fields: fields, Message: "these files cannot be processed; nothing was charged"}
	if large {
		e.Code = core.CodePayloadTooLarge
		e.Message = fmt.Sprintf("a file may have at most %d bytes; nothing was charged", u.limit)
	}
	return e
}

// Refused gives the refusal of all refused files, with at most MaxNamedFiles of them, or
// nil. It is CodePayloadTooLarge if one of them is too large.
func (u *Upload) Refused() error {
	if len(u.refused) == 0 {
		return nil
	}
	return u.refusal(u.large, u.refused[:min(len(u.refused), MaxNamedFiles)]...)
}

// Hopeless reports whether MaxNamedFiles files were refused, so that reading on is of no
// use.
func (u *Upload) Hopeless() bool { return len(u.refused) >= MaxNamedFiles }

var errUploadEnded = errors.New("app: the upload has ended")

// kept fails if no run can be made of the upload because its files were not stored: the
// answer that they were to be compared with was a refusal, which was forgotten meanwhile. u
// may be nil.
func (u *Upload) kept() error {
	if u != nil && u.replay {
		return fmt.Errorf("app: the answer to an upload's idempotency key is gone, and its files were not stored: %w", ports.ErrUnavailable)
	}
	return nil
}

// initiateUpload is Initiate for uploaded files.
func (s *Service) initiateUpload(ctx context.Context, actor core.Actor, req InitiateRequest) (core.Run, error) {
	u := req.Upload
	if u.state != uploadOpen {
		return core.Run{}, errUploadEnded
	}
	defer u.Discard(ctx) // has no effect if the run exists, or may exist
	if err := u.complete(ctx, req); err != nil {
		return core.Run{}, err
	}
	req.Files = u.files
	u.state = uploadDeciding
	run, err := s.initiate(ctx, actor, u.id, req)
	switch {
	case run.ID == u.id:
		u.keep(ctx)
	case !errors.Is(err, ports.ErrCommitUnknown):
		u.state = uploadOpen
	}
	return run, err
}

// complete makes an upload durable, if a run may be made of it.
func (u *Upload) complete(ctx context.Context, req InitiateRequest) error {
	switch age, most := u.svc.clock.Now().Sub(u.begun), u.svc.opts.UploadGrace/2; {
	case len(req.Files) > 0:
		return core.InvalidField("files", "give an upload, or references, but not both")
	case req.Tenant != u.tenant:
		return core.InvalidField("tenant", "the upload is of another tenant")
	case len(u.refused) > 0:
		return u.Refused()
	case u.failed != nil:
		return u.failed
	case age > most:
		// Not the client's mistake: the clock may have jumped.
		return fmt.Errorf("app: an upload took %s, more than half of the time after which it may be swept (%s): %w", age, most, ports.ErrUnavailable)
	}
	if u.into == nil {
		return nil
	}
	return u.into.Commit(ctx)
}

// keep marks the upload as that of a run. If that fails, the sweep does it.
func (u *Upload) keep(ctx context.Context) {
	u.end()
	if !u.marked {
		return
	}
	ctx, cancel := u.svc.bounded(detached(ctx))
	defer cancel()
	if err := u.svc.files.Keep(ctx, u.tenant, u.id); err != nil {
		u.svc.log.Warn("an upload was not settled; the sweep will", "tenant", u.tenant, "run", u.id, "error", err)
	}
}

// Discard removes the uploaded files, also if ctx has ended: the client may have
// disconnected. Files that cannot be removed now are swept later. It has no effect on an
// upload that Initiate has ended. If it is not known whether the upload became a run, the
// sweep decides.
func (u *Upload) Discard(ctx context.Context) {
	if u.state == uploadEnded {
		return
	}
	open := u.state == uploadOpen
	u.end()
	if !open || !u.marked {
		return
	}
	ctx, cancel := u.svc.bounded(detached(ctx))
	defer cancel()
	if err := u.svc.files.Remove(ctx, u.tenant, u.id); err != nil {
		u.svc.log.Warn("an upload was not removed; the sweep will", "tenant", u.tenant, "upload", u.id, "error", err)
	}
}

func (u *Upload) end() {
	u.state = uploadEnded
	u.svc.uploads.end(u.tenant, u.bytes)
	u.bytes, u.buffer = 0, bytes.Buffer{}
}
