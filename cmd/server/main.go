// Command server runs Redrive as an HTTP service with its workers in the same
// process.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line. Every flag of serve has an environment variable.
type cli struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve the HTTP API and work the queue (the default)."`
	Migrate migrateCmd `cmd:"" help:"Bring the database's schema up to date, or list its migrations."`
	Ledger  ledgerCmd  `cmd:"" help:"Check or export the ledger."`
	Queue   queueCmd   `cmd:"" help:"List messages that no server could read, and send them again."`
	Token   tokenCmd   `cmd:"" help:"Print a bearer token for the API."`
	Demo    demoCmd    `cmd:"" help:"Start a demo server, play the journey from upload to Continue, and print what happens."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main as a function, for tests. Exit codes are 0 for success, which includes a
// graceful stop, 1 for a failure, and 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	code := -1
	parser, err := kong.New(&cli{},
		kong.Name("server"),
		kong.Description("Redrive runs workflows over batches of files and continues what failed, paying for nothing twice."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{stdout, stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "server:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help has been answered
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "server: %s\nRun 'server --help' for the flags.\n", explain(parser.Model, err))
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(stderr, "server:", err)
		return 1
	}
	return 0
}

// streams are the outputs of a command: out for its result, err for logs.
type streams struct {
	out io.Writer
	err io.Writer
}
