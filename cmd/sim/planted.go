package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/redrive/redrive/internal/sim/mutants"
)

// runPlanted builds this command with all bugs planted and runs it with the same
// arguments. It needs the module's source and the Go tool.
func runPlanted(ctx context.Context, to streams, line commandLine) (err error) {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "planted-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	overlay, err := mutants.Plant(root, folder)
	if err != nil {
		return err
	}
	program := filepath.Join(folder, "sim")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-tags", "mutants", "-trimpath", "-o", program, "./cmd/sim") //nolint:gosec // paths of our own
	build.Dir, build.Stdout, build.Stderr = root, to.err, to.err
	if err := build.Run(); err != nil {
		return ends(exitUsage, "build with planted bugs: %w", err)
	}
	command := exec.CommandContext(ctx, program, line...) //nolint:gosec // the arguments that this command was given
	command.Stdout, command.Stderr = to.out, to.err
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // it ends in its own time
	return command.Run()
}

// moduleRoot is the folder of this module's go.mod, at or above the working one.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		content, err := os.ReadFile(filepath.Join(folder, "go.mod")) //nolint:gosec // looked for from the working folder up
		if err == nil && strings.HasPrefix(string(content), "module github.com/redrive/redrive\n") {
			return folder, nil
		}
		up := filepath.Dir(folder)
		if up == folder {
			return "", ends(exitUsage, "bugs are planted in the source: run this in a checkout of Redrive")
		}
		folder = up
	}
}
