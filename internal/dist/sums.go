package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sumsFile is what sha256sum --check reads.
const sumsFile = "SHA256SUMS"

// sumsCmd writes the checksums of all files of a folder, but for hidden ones.
type sumsCmd struct {
	Folder string `arg:"" type:"existingdir" help:"Folder."`
}

// Run writes SHA256SUMS there.
func (s *sumsCmd) Run() error {
	var lines strings.Builder
	files := os.DirFS(s.Folder)
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error { // in the order of their names
		switch hidden := path != "." && strings.HasPrefix(e.Name(), "."); {
		case err != nil:
			return err
		case e.IsDir() && hidden:
			return fs.SkipDir
		case !e.Type().IsRegular() || hidden || path == sumsFile:
			return nil
		}
		content, err := fs.ReadFile(files, path)
		if err == nil {
			fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), path)
		}
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Folder, sumsFile), []byte(lines.String()), 0o644)
}
