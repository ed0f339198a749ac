// Command server is the program redrive. It runs Redrive as an HTTP service with its workers in the same
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

// cli is the command line. Every setting of serve has an environment variable and may stand
// in a file; a flag wins over the environment, the environment over the file.
type cli struct {
	Config  string           `env:"REDRIVE_CONFIG" placeholder:"FILE" help:"TOML file of settings, with the names of the flags: workers = 32. Flags and environment variables win over it."`
	Version kong.VersionFlag `help:"Print the version, the commit and its date."`

	Serve      serveCmd   `cmd:"" default:"withargs" help:"Serve the HTTP API and the page, and work the queue (the default)."`
	Demo       demoCmd    `cmd:"" help:"Play the journey from upload to Continue against a server of its own, and print what happens."`
	Token      tokenCmd   `cmd:"" help:"Print a bearer token for the API."`
	Keys       keysCmd    `cmd:"" help:"Make, list and revoke API keys."`
	Migrate    migrateCmd `cmd:"" help:"Bring the database's schema up to date, or list its migrations."`
	Move       moveCmd    `cmd:"" help:"Move tenants to another database, with all that they own."`
	Backup     backupCmd  `cmd:"" help:"Copy a SQLite database and its files while a server works on them."`
	Ledger     ledgerCmd  `cmd:"" help:"Check or export the ledger."`
	Queue      queueCmd   `cmd:"" help:"List messages that no server could read, and send them again."`
	VersionCmd versionCmd `cmd:"" name:"version" help:"Print the version, the commit and its date."`

	file *configFile // nil if there is none
}

// BeforeResolve reads the file of settings, once the flags and the environment are known.
func (c *cli) BeforeResolve(k *kong.Kong, parsing *kong.Context) error {
	for _, f := range parsing.Flags() {
		if f.Name != configFlag {
			continue
		}
		path, _ := parsing.FlagValue(f).(string)
		if path == "" {
			return nil
		}
		file, err := readConfig(path, k)
		if err != nil {
			return err
		}
		c.file = file
		parsing.AddResolver(file)
	}
	return nil
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
	var c cli
	parser, err := kong.New(&c,
		kong.Name("redrive"),
		kong.Description("Redrive runs workflows over batches of files and continues what failed, paying for nothing twice."),
		kong.UsageOnError(),
		kong.ExplicitGroups(groups),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true, WrapUpperBound: 100, ValueFormatter: func(v *kong.Value) string { return v.Help }}),
		kong.Vars{"version": versionText()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{stdout, stderr}, &c),
	)
	if err != nil {
		fmt.Fprintln(stderr, "redrive:", err)
		return 2
	}
	prepare(parser.Model)
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help or --version has been answered
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "redrive: %s\nRun 'redrive --help' for the commands, 'redrive serve --help' for the settings.\n", c.explain(parser.Model, err))
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(stderr, "redrive:", err)
		return 1
	}
	return 0
}

// streams are the outputs of a command: out for its result, err for logs.
type streams struct {
	out io.Writer
	err io.Writer
}
