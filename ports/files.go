package ports

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/redrive/redrive/core"
)

// ErrFull says that there is no room left to store in: the disk is full, or a quota
// of the storage's own is used up. What was being stored is not kept.
var ErrFull = errors.New("storage is full")

// Files keeps the contents of uploaded files. A content belongs to one upload, and an
// upload to the one run that is made of it and whose ID it has: removing an upload
// takes nothing from any other run, whatever is uploaded at the same time. For that
// the same content in two uploads is kept twice.
//
// An upload is marked before its first content is stored and until Keep or Remove
// says what became of it. So finding what belongs to no run takes a look at the
// marks alone, however many runs there are.
type Files interface {
	// Begin marks an upload, durably, and gives it. begun is when the marks of
	// uploads that were never settled are told apart by. An upload is begun once.
	Begin(ctx context.Context, tenant core.TenantID, upload core.RunID, begun time.Time) (Upload, error)
	// Open reads a stored content. ErrNotFound for a reference that this tenant does
	// not have. A content that is not what was stored is an error at its end.
	Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error)
	// Leftovers gives the uploads of all tenants that were begun before then and are
	// still marked. They may be kept or removed while it goes on. One that cannot be
	// read comes with an error, and the others follow if they can.
	Leftovers(ctx context.Context, before time.Time) iter.Seq2[Leftover, error]
	// Keep says that an upload's run exists: its mark is forgotten and its contents
	// stay. A repeat has no effect.
	Keep(ctx context.Context, tenant core.TenantID, upload core.RunID) error
	// Remove removes an upload that is marked, its contents first and its mark last.
	// One that was kept, or never begun, is left as it is. A repeat has no effect.
	Remove(ctx context.Context, tenant core.TenantID, upload core.RunID) error
}

// Upload takes the contents of one run to be. Its methods are for one goroutine at
// a time.
type Upload interface {
	// Add stores a content: all of it, or nothing if reading or storing fails.
	// ErrFull. It can be read at once, and is durable after Commit.
	Add(ctx context.Context, content io.Reader) (Stored, error)
	// Commit makes everything that was added durable, or fails. Nothing is added
	// afterwards. ErrNotFound if the upload was removed meanwhile.
	Commit(ctx context.Context) error
}

// Stored is a content that Files has.
type Stored struct {
	Ref    core.FileRef
	Size   int64  // bytes
	Digest string // SHA-256 of the content in hex
}

// Leftover is an upload that was begun and never settled.
type Leftover struct {
	Tenant core.TenantID
	Upload core.RunID
	Begun  time.Time
}
