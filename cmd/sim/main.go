// Command sim searches for interleavings that would lose work or money, and plays
// again what it found. See docs/simulator.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/mutants"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/world"
)

// cli is the command line.
type cli struct {
	Planted string `placeholder:"BUG" help:"Play with one of the planted bugs on, to see what a violation looks like; sim mutants lists them."`

	Run       runCmd       `cmd:"" default:"withargs" help:"Play a world for each seed and end at the first violation (the default)."`
	Replay    replayCmd    `cmd:"" help:"Play a token again and show its trace."`
	Shrink    shrinkCmd    `cmd:"" help:"Look for a smaller world that violates the same rule."`
	Exhaust   exhaustCmd   `cmd:"" help:"Play every schedule of small scenarios within bounds."`
	Mutants   mutantsCmd   `cmd:"" help:"Plant realistic bugs, one at a time, and measure how many seeds it takes to find each."`
	Linearize linearizeCmd `cmd:"" help:"Check that what users were answered is linearizable, tenant by tenant."`
	Doctor    doctorCmd    `cmd:"" help:"Play everything twice, on 1 and on 2 cores, and compare the traces."`
	Explain   explainCmd   `cmd:"" help:"Write an HTML page about a token."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	sim.RelaxGC()                // this process has nothing else to do
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitClean            = 0
	exitViolation        = 1
	exitUsage            = 2
	exitNotDeterministic = 3
	exitGate             = 4 // of coverage or of planted bugs
	exitUnknown          = 5 // whether histories are linearizable
)

// outcome is an exit code with what is said about it on standard error.
type outcome struct {
	code int
	err  error
}

func (o outcome) Error() string { return o.err.Error() }
func (o outcome) Unwrap() error { return o.err }

// ends makes an outcome.
func ends(code int, format string, args ...any) error {
	return outcome{code, fmt.Errorf(format, args...)}
}

// streams are where a command writes: out only what follows from the input, err
// the rest.
type streams struct {
	out io.Writer
	err io.Writer
	// wrap is put between the use cases and the ports that fail: nothing but in tests,
	// which need something to find.
	wrap world.Wrap
}

// run is main without the process.
func run(ctx context.Context, args []string, to streams) int {
	code := -1
	var asked cli
	parser, err := kong.New(&asked,
		kong.Name("sim"),
		kong.Description("Searches for interleavings that would lose work or money. Exit codes: 0 clean, 1 a rule was violated, "+
			"2 cannot be used so, 3 the harness is not deterministic, 4 a situation or a planted bug was missed, 5 linearizability unknown."),
		kong.UsageOnError(),
		kong.Writers(to.out, to.err),
		kong.Exit(func(c int) { code = c }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(to),
		kong.Bind(commandLine(args)),
		vars(),
	)
	if err != nil {
		fmt.Fprintln(to.err, "sim:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help has been answered
		return code
	}
	if err != nil {
		fmt.Fprintf(to.err, "sim: %v\nRun 'sim --help' for the commands and flags.\n", err)
		return exitUsage
	}
	if asked.Planted != "" {
		err = plant(asked.Planted)
	}
	switch {
	case errors.Is(err, mutants.ErrNotPlanted):
		return exitCode(runPlanted(ctx, to, args), to.err)
	case err == nil:
		err = parsed.Run()
	}
	return exitCode(err, to.err)
}

// exitCode says what went wrong and gives the exit code for it.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitClean
	}
	var exit *exec.ExitError
	o := outcome{code: exitUsage}
	if !errors.As(err, &o) && errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode() // it has said so itself
	}
	fmt.Fprintln(stderr, "sim:", err)
	return o.code
}

// vars are what the help says that the code knows better.
func vars() kong.Vars {
	p := profiles()
	return kong.Vars{
		"strategies":    strategyNames(),
		"scenarios":     strings.Join(world.Small(), ", "),
		"faults":        strings.Join(faultNames()[1:], ", "),
		"covered_after": fmt.Sprint(oracle.CoveredAfter),
		"default_seeds": fmt.Sprint(p["default"].seeds),
		"ci_seeds":      fmt.Sprint(p["ci"].seeds),
		"deep_for":      p["deep"].lasting.String(),
	}
}

// commandLine is the whole command line, to build another program that obeys it.
type commandLine []string
