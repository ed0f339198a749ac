package blobfiles

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"gocloud.dev/blob"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// upload is an upload that has begun. Its contents are numbered, so that each can be
// written as it arrives, before its sum is known.
type upload struct {
	files  *Files
	tenant core.TenantID
	id     core.RunID
	prefix string // of the keys of its contents
	stored int    // contents
	buffer []byte
}

// Add implements ports.Upload. It needs no more memory than the driver does. It checks
// ctx between reads: a read of content that blocks is not interrupted.
func (u *upload) Add(ctx context.Context, content io.Reader) (ports.Stored, error) {
	if u.buffer == nil {
		u.buffer = make([]byte, 32<<10)
	}
	p := place{upload: u.id, number: u.stored}
	size, err := u.write(ctx, u.prefix+strconv.Itoa(p.number), content, &p.sum)
	if err != nil {
		return ports.Stored{}, fmt.Errorf("blobfiles: storing: %w", orFull(err))
	}
	u.stored++
	return ports.Stored{Ref: p.ref(), Size: size, Digest: p.sum.hex()}, nil
}

// write copies a content into the bucket. After an error nothing of the content stays.
func (u *upload) write(ctx context.Context, key string, content io.Reader, digest *sum) (size int64, err error) {
	if err := ctx.Err(); err != nil { // not every driver checks it
		return 0, err
	}
	writing, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := u.files.bucket.NewWriter(writing, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", // else the driver would guess from the content
		BeforeWrite: func(as func(any) bool) error {
			var file *os.File
			if !as(&file) {
				return nil
			}
			return file.Chmod(0o600)
		},
	})
	if err != nil {
		return 0, err
	}
	done := false
	// In a defer, because the caller's reader may panic.
	defer func() {
		if !done {
			cancel()
			_ = w.Close() // discards the content; its error only says that it was cancelled
		}
	}()
	hash := sha256.New()
	// The writer's ReadFrom would allocate a buffer of 1 MiB for each small file.
	size, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, hash)}, contextReader{ctx, content}, u.buffer)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, err
	}
	done = true
	hash.Sum(digest[:0])
	return size, w.Close()
}

// Commit implements ports.Upload. In a folder it fsyncs all files of the upload together,
// and the folders above them.
func (u *upload) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if u.files.root != "" && u.stored > 0 {
		folder := u.files.path(u.prefix)
		paths := make([]string, u.stored)
		for i := range paths {
			paths[i] = filepath.Join(folder, strconv.Itoa(i))
		}
		if err := u.files.fsyncAll(paths, u.files.foldersTo(folder)); err != nil {
			return fmt.Errorf("blobfiles: making an upload durable: %w", orFull(err))
		}
	}
	marked, err := u.files.marked(ctx, u.tenant, u.id)
	if err == nil && !marked {
		err = fmt.Errorf("blobfiles: upload %s was removed before it was complete: %w", u.id, ports.ErrNotFound)
	}
	return err
}
