// Command plant builds a command of this module with all bugs planted and runs it:
//
//	plant [--command ./cmd/sim] [--root .] [ARGUMENTS OF THE COMMAND]
//
// It exits as the command does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/redrive/redrive/internal/sim/mutants"
)

func main() {
	command := flag.String("command", "./internal/sim/mutants/measure", "package of the command")
	root := flag.String("root", ".", "root of the module")
	flag.Parse()
	code, err := run(*root, *command, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "plant:", err)
		code = 2
	}
	os.Exit(code)
}

func run(root, command string, args []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	folder, err := os.MkdirTemp("", "planted-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	overlay, err := mutants.Plant(root, folder)
	if err != nil {
		return 0, err
	}
	program := filepath.Join(folder, "program")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-tags", "mutants", "-o", program, command)
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("go build: %w", err)
	}
	// An interrupt reaches the command by itself, and it ends in its own time.
	planted := exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	planted.Stdin, planted.Stdout, planted.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = planted.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
