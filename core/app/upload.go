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

// Upload is the files of one run to be: its ID will be the run's. It ends with
// Initiate or with Discard, of which one has to be called; a Discard after an
// Initiate has no effect and can be deferred. Its methods are for one goroutine at
// a time.
type Upload struct {
	svc    *Service
	tenant core.TenantID
	id     core.RunID
	begun  time.Time
	limit  int64 // bytes of one file; 0 for none
	replay bool  // the answer is there already: nothing is stored
	state  uploadState

	marked  bool         // Files knows of it, or may
	into    ports.Upload // nil until there is a content
	added   int          // refused ones included
	files   []core.NewFile
	refused []core.FieldError // one a file
	large   bool              // one of them is too large
	failed  error             // what a file was not stored for; it is missing
	bytes   int64             // that count against the tenant's quota
	buffer  bytes.Buffer
}

type uploadState uint8

const (
	uploadOpen     uploadState = iota
	uploadDeciding             // a transaction may make it a run
	uploadEnded
)

// Add takes one file: all of it, or nothing. If the executor says what it takes
// (ports.Acceptor), the file is held in memory to be looked at, and one that it does
// not take is refused here, before anything is charged for it.
//
// A file's own refusal is core.CodeInvalidRequest or CodePayloadTooLarge, with the
// file in Fields. The upload can then only be refused as a whole; more files may be
// added to hear of what is wrong with them, and nothing of them is stored. Any other
// refusal (CodeUploadQuotaExceeded, too many files) and any fault (ports.ErrFull) is
// of the whole upload. What content fails with is returned as it is.
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
		if err := u.look(index, name, content); err != nil {
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
	// Why the reader ended is looked at first: a store may pass it on in words of its own.
	switch {
	case metered.tooLarge:
		return core.NewFile{}, u.tooLarge(index, name)
	case metered.err != nil:
		err = metered.err
	}
	return core.NewFile{}, u.fail(err)
}

// fail remembers that a file is missing: no run is made without it.
func (u *Upload) fail(err error) error {
	if u.failed == nil {
		u.failed = err
	}
	return err
}

// look reads a file into memory and asks the executor whether it takes it.
func (u *Upload) look(index int, name string, content io.Reader) error {
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

// store stores a content, unless a file was refused: then it is only read, to see
// whether it is too large.
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

// compared takes a file of an upload that was answered before: what it is decides
// whether it is the same.
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

// refuse remembers what is wrong with a file, and gives it as an error.
func (u *Upload) refuse(f core.FieldError, large bool) error {
	u.refused, u.large = append(u.refused, f), u.large || large
	return u.refusal(large, f)
}

func (u *Upload) refusal(large bool, fields ...core.FieldError) *core.Error {
	e := &core.Error{Code: core.CodeInvalidRequest, Fields: fields, Message: "these files cannot be worked on; nothing was charged"}
	if large {
		e.Code = core.CodePayloadTooLarge
		e.Message = fmt.Sprintf("a file may have at most %d bytes; nothing was charged", u.limit)
	}
	return e
}

// Refused gives the refusal of all files that were not taken, at most MaxNamedFiles
// of them, or nil. It is CodePayloadTooLarge if one of them is too large.
func (u *Upload) Refused() error {
	if len(u.refused) == 0 {
		return nil
	}
	return u.refusal(u.large, u.refused[:min(len(u.refused), MaxNamedFiles)]...)
}

// Hopeless reports whether as many files were refused as are named.
func (u *Upload) Hopeless() bool { return len(u.refused) >= MaxNamedFiles }

var errUploadEnded = errors.New("app: the upload has ended")

// kept says that a run can be made of what was uploaded. It is nil-safe.
func (u *Upload) kept() error {
	if u != nil && u.replay {
		return errors.New("app: the answer to an upload's idempotency key is gone, and its files were not stored")
	}
	return nil
}

// initiateUpload is Initiate for files that were uploaded.
func (s *Service) initiateUpload(ctx context.Context, actor core.Actor, req InitiateRequest) (core.Run, error) {
	u := req.Upload
	if u.state != uploadOpen {
		return core.Run{}, errUploadEnded
	}
	defer u.Discard(ctx) // unless the run exists, or may
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
		// Not the client's mistake: it may be the clock that has jumped.
		return fmt.Errorf("app: an upload took %s, more than half of the time after which it may be swept (%s): %w", age, most, ports.ErrUnavailable)
	}
	if u.into == nil {
		return nil
	}
	return u.into.Commit(ctx)
}

// keep says that the run exists. If that fails, the sweep finds out.
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

// Discard removes what was uploaded, also when ctx has ended: the client may have
// gone away. What cannot be removed now is swept later. It has no effect on an
// upload that Initiate has ended; one of which it is not known whether it became a
// run is left for the sweep to find out.
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
