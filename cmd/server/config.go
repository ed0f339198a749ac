package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// serveCmd is the configuration of a server. The order of groups is that of --help.
type serveCmd struct {
	PrintConfig bool `help:"Print the settings in force and where each comes from, without secrets, and exit."`

	Listen       string        `group:"server" env:"REDRIVE_LISTEN" default:"127.0.0.1:8080" help:"Address to listen on."`
	Demo         bool          `group:"server" env:"REDRIVE_DEMO" help:"Make a demo tenant and template, print credentials for them, and use a bundled fake LLM unless one is configured."`
	DrainTimeout time.Duration `group:"server" env:"REDRIVE_DRAIN_TIMEOUT" default:"30s" help:"How long running jobs may go on after a stop before they are released to other servers."`

	tokenFlags
	signInFlags
	metricsFlag
	databaseFlags

	Files   string `group:"store" env:"REDRIVE_FILES" placeholder:"FOLDER" help:"Folder, or bucket URL, for uploaded files. Default: the folder files beside the SQLite database, data/files with Postgres."`
	Migrate bool   `group:"store" env:"REDRIVE_MIGRATE" default:"true" negatable:"" help:"Bring the database's schema up to date at start."`

	queueFlags

	Workers         int           `group:"queue" env:"REDRIVE_WORKERS" default:"16" help:"Most jobs executed at once. It may be more than --db-max-conns: a job holds no connection while it is executed."`
	TenantWorkers   int           `group:"queue" env:"REDRIVE_TENANT_WORKERS" default:"0" help:"Most jobs of one tenant executed at once, in this server; 0 for no limit."`
	TemplateWorkers int           `group:"queue" env:"REDRIVE_TEMPLATE_WORKERS" default:"0" help:"Most jobs of one template of a tenant executed at once, in this server; 0 for no limit."`
	Lease           time.Duration `group:"queue" env:"REDRIVE_LEASE" default:"1m" help:"How long a worker that does not renew its lease keeps a job before another worker gets it."`
	Redeliveries    int           `group:"queue" name:"max-redeliveries" aliases:"redeliveries" env:"REDRIVE_MAX_REDELIVERIES" default:"3" help:"How many leases of a file may run out before its run is interrupted."`
	RecoverEvery    time.Duration `group:"queue" env:"REDRIVE_RECOVER_EVERY" default:"5s" help:"How often to look for work that a stopped server left."`
	DispatchGrace   time.Duration `group:"queue" env:"REDRIVE_DISPATCH_GRACE" default:"30s" help:"How long a server may take to enqueue a run's jobs before another server does."`
	RedispatchAfter time.Duration `group:"queue" env:"REDRIVE_REDISPATCH_AFTER" default:"30s" help:"How long jobs may wait unclaimed before they are sent again, in case the queue lost them; doubles up to ten times this."`

	LLMBaseURL string        `group:"provider" name:"llm-base-url" env:"LLM_BASE_URL" placeholder:"URL" help:"OpenAI-compatible endpoint that does the work, such as https://api.openai.com/v1."`
	LLMAPIKey  string        `group:"provider" secret:"" name:"llm-api-key" env:"LLM_API_KEY" placeholder:"KEY" help:"Key for that endpoint."`
	LLMModel   string        `group:"provider" name:"llm-model" env:"LLM_MODEL" placeholder:"NAME" help:"Model to ask for."`
	LLMTimeout time.Duration `group:"provider" name:"llm-timeout" env:"LLM_TIMEOUT" default:"1m" help:"Timeout of one request to the endpoint."`

	BreakerFailures       int           `group:"provider" env:"REDRIVE_BREAKER_FAILURES" default:"10" help:"After how many jobs of a template in a row that the provider failed no more of them are claimed until the provider is back. For a fault of the service's own, such as a wrong key, the first one is enough. 0 for no limit."`
	BreakerOpenFor        time.Duration `group:"provider" env:"REDRIVE_BREAKER_OPEN_FOR" default:"30s" help:"After what time one job is tried to find out whether the provider is back. For a fault of the service's own it is tried sooner, and at least this often."`
	BreakerMaxOutage      time.Duration `group:"provider" env:"REDRIVE_BREAKER_MAX_OUTAGE" default:"1h" help:"After what time without the provider its jobs are executed and fail, so that runs close."`
	BreakerInterruptAfter time.Duration `group:"provider" env:"REDRIVE_BREAKER_INTERRUPT_AFTER" default:"30s" help:"After what time with a fault of the service's own the runs that wait for its repair are closed as interrupted, free to continue."`

	MaxFiles       int   `group:"limits" env:"REDRIVE_MAX_FILES" default:"10000" help:"Most files of a run."`
	MaxFileBytes   int64 `group:"limits" env:"REDRIVE_MAX_FILE_BYTES" default:"1048576" help:"Most bytes of one file, for the upload and for the request to the LLM."`
	MaxOutputBytes int   `group:"limits" env:"REDRIVE_MAX_OUTPUT_BYTES" default:"4194304" help:"Most bytes of one file's output; a longer one fails its file."`
	MaxUploadBytes int64 `group:"limits" env:"REDRIVE_MAX_UPLOAD_BYTES" default:"1073741824" help:"Most bytes of one upload."`

	MaxTenantUploadBytes int64         `group:"limits" env:"REDRIVE_MAX_TENANT_UPLOAD_BYTES" default:"2147483648" help:"Most bytes of one tenant's uploads that are not runs yet, in this server; 0 for no limit."`
	MaxTenantUploads     int           `group:"limits" env:"REDRIVE_MAX_TENANT_UPLOADS" default:"64" help:"Most uploads of one tenant at once, in this server; 0 for no limit."`
	UploadGrace          time.Duration `group:"limits" env:"REDRIVE_UPLOAD_GRACE" default:"24h" help:"After what time an upload that did not become a run is removed. No upload may take longer than half of it."`
	IdempotencyTTL       time.Duration `group:"limits" name:"idempotency-ttl" env:"REDRIVE_IDEMPOTENCY_TTL" default:"24h" help:"For how long answers under an Idempotency-Key are remembered. What was charged or granted keeps its key for ever."`

	listenFlags

	webhookFlags

	LogFormat string     `group:"logging" env:"REDRIVE_LOG_FORMAT" enum:"text,json" default:"text" help:"Log format, text or json; logs go to standard error."`
	LogLevel  slog.Level `group:"logging" env:"REDRIVE_LOG_LEVEL" default:"info" help:"Least level that is logged: debug, info, warn or error."`
}

// complete fills in the defaults that depend on other settings.
func (c *serveCmd) complete() {
	if kind, _, err := c.place(); err == nil && kind != inMemory && c.Files == "" {
		c.Files = filepath.Join(c.folder(), "files")
	}
}

// check refuses a configuration that cannot serve.
//
// named gives a flag's name on the command line and in the environment, by its field.
func (c *serveCmd) check(named func(field any) string) error {
	var wrong []error
	if _, _, err := c.place(); err != nil {
		wrong = append(wrong, err)
	}
	wrong = append(wrong, c.checkSignIn(named)...)
	wrong = append(wrong, c.webhookFlags.check(named)...)
	if c.LLMBaseURL == "" && !c.Demo {
		wrong = append(wrong, errors.New("set LLM_BASE_URL and LLM_MODEL to the endpoint that does the work, or try it with --demo"))
	}
	if c.LLMBaseURL != "" && c.LLMModel == "" {
		wrong = append(wrong, errors.New("set LLM_MODEL to the model to ask LLM_BASE_URL for"))
	}
	if c.Demo && !loopback(c.Listen) {
		wrong = append(wrong, fmt.Errorf("%s: a demo prints its credentials and is for this machine alone, so it listens on 127.0.0.1 or localhost, not on %q; leave out one of the two",
			named(&c.Listen), c.Listen))
	}
	if c.UploadGrace < time.Minute || c.UploadGrace < 2*c.UploadTimeout {
		wrong = append(wrong, fmt.Errorf("%s: %s is too short, uploads under way would be removed; use 1m or more, and at least twice %s (%s)",
			named(&c.UploadGrace), c.UploadGrace, named(&c.UploadTimeout), c.UploadTimeout))
	}
	if c.IdempotencyTTL < time.Hour {
		wrong = append(wrong, fmt.Errorf("%s: %s is too short, clients repeat requests for longer; use 1h or more", named(&c.IdempotencyTTL), c.IdempotencyTTL))
	}
	if c.Lease < time.Second {
		wrong = append(wrong, fmt.Errorf("%s: %s is too short to be renewed in time; use 1s or more", named(&c.Lease), c.Lease))
	}
	for _, d := range []*time.Duration{&c.RecoverEvery, &c.DispatchGrace, &c.RedispatchAfter} {
		if *d < 100*time.Millisecond {
			wrong = append(wrong, fmt.Errorf("%s must be 100ms or more, not %s", named(d), *d))
		}
	}
	for _, d := range append(c.durations(), &c.BreakerOpenFor, &c.BreakerMaxOutage, &c.BreakerInterruptAfter) {
		if *d <= 0 {
			wrong = append(wrong, fmt.Errorf("%s must be more than 0s, not %s", named(d), *d))
		}
	}
	if c.HSTS < 0 {
		wrong = append(wrong, fmt.Errorf("%s must be 0s or more, not %s", named(&c.HSTS), c.HSTS))
	}
	for _, n := range []struct {
		flag  any
		value int64
		least int64
	}{
		{&c.Workers, int64(c.Workers), 1},
		{&c.TenantWorkers, int64(c.TenantWorkers), 0},
		{&c.TemplateWorkers, int64(c.TemplateWorkers), 0},
		{&c.BreakerFailures, int64(c.BreakerFailures), 0},
		{&c.Redeliveries, int64(c.Redeliveries), 0},
		{&c.MaxFiles, int64(c.MaxFiles), 1},
		{&c.MaxFileBytes, c.MaxFileBytes, 1},
		{&c.MaxOutputBytes, int64(c.MaxOutputBytes), 1},
		{&c.MaxUploadBytes, c.MaxUploadBytes, 1},
		{&c.DBMaxConns, int64(c.DBMaxConns), 1},
		{&c.MaxConnections, int64(c.MaxConnections), 0},
		{&c.MaxConnectionsPerAddress, int64(c.MaxConnectionsPerAddress), 0},
		{&c.MaxCredentialRequests, int64(c.MaxCredentialRequests), 0},
		{&c.MaxTenantRequests, int64(c.MaxTenantRequests), 0},
		{&c.MaxFailedLogins, int64(c.MaxFailedLogins), 0},
		{&c.UploadRate, c.UploadRate, 1},
		{&c.MaxTenantUploadBytes, c.MaxTenantUploadBytes, 0},
		{&c.MaxTenantUploads, int64(c.MaxTenantUploads), 0},
	} {
		if n.value < n.least {
			wrong = append(wrong, fmt.Errorf("%s must be %d or more, not %d", named(n.flag), n.least, n.value))
		}
	}
	return errors.Join(wrong...)
}

// options are those of the use cases.
func (c *serveCmd) options() app.Options {
	o := app.DefaultOptions()
	o.MaxFiles = c.MaxFiles
	o.MaxOutputBytes = c.MaxOutputBytes
	if o.MaxTenantUploadBytes = c.MaxTenantUploadBytes; o.MaxTenantUploadBytes == 0 {
		o.MaxTenantUploadBytes = -1
	}
	if o.MaxTenantUploads = c.MaxTenantUploads; o.MaxTenantUploads == 0 {
		o.MaxTenantUploads = -1
	}
	o.UploadGrace, o.IdempotencyTTL = c.UploadGrace, c.IdempotencyTTL
	o.WebhookRetention = c.WebhookRetention
	o.Recovery.Lease = c.Lease
	o.Recovery.MaxRedeliveries = c.Redeliveries
	// A queue in memory loses its jobs with the process. Sending them again soon is
	// cheap: a job that is still in the queue is not added twice.
	o.Recovery.RedispatchAfter, o.Recovery.MaxRedispatchAfter = c.RedispatchAfter, 10*c.RedispatchAfter
	o.Recovery.DispatchGrace = c.DispatchGrace
	// The server that dispatches has given up before another one begins.
	o.DispatchTimeout = min(o.DispatchTimeout, c.DispatchGrace/2)
	o.BulkLease = min(o.BulkLease, c.Lease)
	if c.Demo {
		// A demo shows failures at once, without waiting for a backoff.
		o.Retry.BaseDelay, o.Retry.MaxDelay = 50*time.Millisecond, 200*time.Millisecond
	}
	return o
}

// workers are the options of the pool.
func (c *serveCmd) workers(log *slog.Logger) worker.Options {
	drain := c.DrainTimeout
	if drain <= 0 {
		drain = -1 // release at once
	}
	failures := c.BreakerFailures
	if failures == 0 {
		failures = -1 // none
	}
	return worker.Options{
		Concurrency: c.Workers, TenantConcurrency: c.TenantWorkers, TemplateConcurrency: c.TemplateWorkers,
		Breaker: worker.Breaker{
			Failures: failures, OpenFor: c.BreakerOpenFor, MaxOutage: c.BreakerMaxOutage, InterruptAfter: c.BreakerInterruptAfter,
			// The jobs of all templates go to the one configured endpoint.
			Endpoint: func(ports.TemplateKey) string { return "llm" },
		},
		// Half of the connections, so that requests get the other half.
		Transactions: max(1, int(c.DBMaxConns)/2),
		RecoverEvery: c.RecoverEvery, BulkEvery: 3 * c.RecoverEvery, DrainTimeout: drain, Log: log,
	}
}

func (c *serveCmd) logger(to streams) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: bounded}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to.err, o))
	}
	return slog.New(slog.NewTextHandler(to.err, o))
}

// maxLogged is the most bytes of one field of a log line: an SQL statement, an answer of
// the provider or the name of a file must not fill the log. It is large enough for a
// stack trace.
const maxLogged = 8 << 10

// bounded shortens the values of log attributes.
func bounded(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); len(s) > maxLogged {
			a.Value = slog.StringValue(strings.ToValidUTF8(s[:maxLogged], "") + "…")
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			if s := err.Error(); len(s) > maxLogged {
				a.Value = slog.StringValue(strings.ToValidUTF8(s[:maxLogged], "") + "…")
			}
		}
	default:
	}
	return a
}
