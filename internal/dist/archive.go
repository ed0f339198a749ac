package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// archiveCmd packs one binary.
type archiveCmd struct {
	Binary string `required:"" type:"existingfile" help:"Binary to pack."`
	Name   string `required:"" help:"Name of the folder in the archive, such as redrive-v1.2.3-linux-amd64."`
	Out    string `required:"" type:"path" help:"Archive to write; .zip or .tar.gz."`
}

// Run writes the archive.
func (a *archiveCmd) Run(r *release) (err error) {
	program := "redrive" + filepath.Ext(a.Binary) // .exe, or nothing
	if program != "redrive.exe" {
		program = "redrive"
	}
	file, err := os.Create(a.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	add, finish := tarGz(file, r.Date)
	if strings.HasSuffix(a.Out, ".zip") {
		add, finish = zipped(file, r.Date)
	}
	for _, f := range []struct {
		name, from string
		mode       os.FileMode
	}{
		{program, a.Binary, 0o755},
		{"LICENSE", filepath.Join(r.Source, "LICENSE"), 0o644},
		{"README.md", filepath.Join(r.Source, "README.md"), 0o644},
	} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		if err := add(a.Name+"/"+f.name, f.mode, content); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return finish()
}

// adder adds a file to an archive.
type adder func(name string, mode os.FileMode, content []byte) error

func tarGz(to io.Writer, at time.Time) (add adder, finish func() error) {
	compressed := gzip.NewWriter(to)
	archive := tar.NewWriter(compressed)
	add = func(name string, mode os.FileMode, content []byte) error {
		header := &tar.Header{Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: at, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(content)
		return err
	}
	return add, func() error { return errors.Join(archive.Close(), compressed.Close()) }
}

func zipped(to io.Writer, at time.Time) (add adder, finish func() error) {
	archive := zip.NewWriter(to)
	add = func(name string, mode os.FileMode, content []byte) error {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(mode)
		w, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}
	return add, archive.Close
}
