package blobfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// keepName makes the name of a file durable, and those of the folders that lead
// to it: they may be as new as the file. It does nothing for a nil file, which
// stands for a content that is not in a folder.
func (f *Files) keepName(file *os.File) error {
	if file == nil {
		return nil
	}
	for dir := filepath.Dir(file.Name()); ; dir = filepath.Dir(dir) {
		if err := f.fsyncFolder(dir); err != nil {
			return err
		}
		if dir == f.root || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// fsyncFolder makes the names in a folder durable.
func (f *Files) fsyncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be flushed there
	}
	d, err := os.Open(dir) //nolint:gosec // G304: the path is that of a folder of ours, made of hex
	if err != nil {
		return err
	}
	err = f.fsync(d)
	// Some file systems take no fsync of a folder; Postgres passes over that too.
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
	// Another process may have been faster.
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.fsyncFolder(parent)
}
