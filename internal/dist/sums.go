package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sumsFile is what sha256sum --check reads.
const sumsFile = "SHA256SUMS"

// sumsCmd writes the checksums of the files of a folder. It leaves folders in it alone.
type sumsCmd struct {
	Folder string `arg:"" type:"existingdir" help:"Folder."`
}

// Run writes SHA256SUMS there.
func (s *sumsCmd) Run() error {
	entries, err := os.ReadDir(s.Folder) // in the order of their names
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() == sumsFile {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.Folder, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	return os.WriteFile(filepath.Join(s.Folder, sumsFile), []byte(lines.String()), 0o644)
}
