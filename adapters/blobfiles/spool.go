package blobfiles

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// spool is a temporary file with a content of which everything is known, at its
// beginning and ready to be read.
type spool struct {
	file  *os.File
	named bool // the file still has its name and is to be removed
	size  int64
	sum   sum
}

// newSpool reads a content to its end. What fails leaves no file.
func newSpool(ctx context.Context, content io.Reader) (_ *spool, err error) {
	file, err := os.CreateTemp("", "redrive-upload-*")
	if err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	s := &spool{file: file, named: true}
	done := false
	// In a defer, because a reader that is not ours may panic.
	defer func() {
		if !done {
			_ = s.close() // what matters is why it is given up
		}
	}()
	// Where an open file may be removed, a process that dies leaves nothing of a
	// tenant's behind. Elsewhere close removes it.
	s.named = os.Remove(file.Name()) != nil
	hash := sha256.New()
	if s.size, err = io.Copy(io.MultiWriter(file, hash), contextReader{ctx, content}); err != nil {
		return nil, fmt.Errorf("blobfiles: receiving: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("blobfiles: %w", err)
	}
	s.sum = sum(hash.Sum(nil))
	done = true
	return s, nil
}

func (s *spool) close() error {
	err := s.file.Close()
	if s.named {
		if removeErr := os.Remove(s.file.Name()); err == nil {
			err = removeErr
		}
	}
	return err
}
