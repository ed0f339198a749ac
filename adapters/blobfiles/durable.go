package blobfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/redrive/redrive/ports"
)

// syncsAtOnce is how many files are fsynced concurrently. A journaling file system makes
// the files of concurrent fsyncs durable in one write of its journal, so an upload of
// thousands of small files is fast.
const syncsAtOnce = 32

// fsyncAll makes files, and the names in folders, durable. The order does not matter:
// nothing counts as stored until all of it is.
func (f *Files) fsyncAll(files, folders []string) error {
	work := make(chan func() error)
	errs := make([]error, min(syncsAtOnce, len(files)+len(folders)))
	var done sync.WaitGroup
	for i := range errs {
		done.Go(func() {
			for do := range work {
				if errs[i] == nil {
					errs[i] = do()
				}
			}
		})
	}
	for _, path := range files {
		work <- func() error { return f.fsyncFile(path) }
	}
	for _, path := range folders {
		work <- func() error { return f.fsyncFolder(path) }
	}
	close(work)
	done.Wait()
	return errors.Join(errs...)
}

// fsyncFile makes a file durable that has been written and closed.
func (f *Files) fsyncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // G304: the path is that of a file of ours
	if err != nil {
		return err
	}
	err = f.fsync(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// foldersTo gives a folder and those above it, up to the root: they may all be new.
func (f *Files) foldersTo(dir string) []string {
	var dirs []string
	for ; ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == f.root || dir == filepath.Dir(dir) {
			return dirs
		}
	}
}

// fsyncFolder makes the names in a folder durable.
func (f *Files) fsyncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be flushed there
	}
	d, err := os.Open(dir) //nolint:gosec // G304: the path is that of a folder of ours
	if err != nil {
		return err
	}
	err = f.fsync(d)
	// Some file systems have no fsync of a folder; Postgres ignores that error too.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// makeFolder is os.MkdirAll of folders whose names are durable.
func (f *Files) makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := f.makeFolder(parent); err != nil {
		return err
	}
	// Another process may have made it first.
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.fsyncFolder(parent)
}

// orFull adds ports.ErrFull to an error that means that the disk is full.
func orFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ports.ErrFull, err)
	}
	return err
}
