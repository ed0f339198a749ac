package ports_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// counter is an executor of one's own. It says what became of each file, how a failure is
// to be taken, and which files it takes at all; and it counts what it used, for the
// operator's own bill.
type counter struct{ words atomic.Int64 }

var (
	_ ports.Executor = (*counter)(nil)
	_ ports.Acceptor = (*counter)(nil)
)

// Execute implements ports.Executor.
func (c *counter) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, 0, len(task.Files)) // one file, or all of a batch
	for _, f := range task.Files {
		words, err := c.count(ctx, f)
		result := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: fmt.Sprint(words, " words")}
		switch {
		case err != nil: // it may work later: tried again in the job, then failed, for a Continue
			result = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "unreadable", Message: err.Error()}}
		case words == 0: // it never will: the file ends in error, and no Continue pays for it
			result = core.FileResult{Index: f.Index, Outcome: core.OutcomePermanent, Failure: core.Failure{Code: "empty", Message: "there is no text in it"}}
		}
		c.words.Add(int64(words))
		results = append(results, result)
	}
	return results, nil
}

func (c *counter) count(ctx context.Context, f ports.TaskFile) (words int, err error) {
	content, err := f.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	text, err := io.ReadAll(content)
	return len(strings.Fields(string(text))), err
}

// MaxFileBytes implements ports.Acceptor.
func (*counter) MaxFileBytes() int64 { return 1 << 20 }

// Accept implements ports.Acceptor: what is refused here is refused at the upload, and
// nothing is charged for it.
func (*counter) Accept(name string, _ []byte) *core.Failure {
	if !strings.HasSuffix(name, ".txt") {
		return &core.Failure{Code: "unsupported", Message: "send .txt files"}
	}
	return nil
}

// A custom executor, what it used, and what the tenant was charged.
func ExampleExecutor() {
	ctx, queue, words := context.Background(), memory.NewQueue(), &counter{}
	redrive, ada := installed(ctx, memory.NewStore(), queue, words)

	_, err := send(ctx, redrive, ada, file{"picture.png", "…"})
	fmt.Println(err)
	run, err := send(ctx, redrive, ada, file{"a.txt", "to be or not to be"}, file{"b.txt", "  "})
	must(err)
	work(ctx, redrive, queue)

	view, err := redrive.Run(ctx, ada, run.ID)
	must(err)
	usage, err := redrive.Usage(ctx, ada, "acme", core.PeriodOf(view.Run.CreatedAt))
	must(err)
	fmt.Println(view.Run.Status, "-", words.words.Load(), "words were counted")
	for _, t := range usage.Templates {
		fmt.Println(t.Template, "cost", t.Spent().Total(), "credits, left", usage.Left)
	}
	// Output:
	// invalid_request: these files cannot be processed; nothing was charged; files[0]: "picture.png": send .txt files
	// COMPLETED_WITH_ERRORS - 6 words were counted
	// count cost 4 credits, left 96
}

// measured counts what goes through a queue. A wrapper embeds the port that it wraps, so
// that it goes on working when the port gets a method; of an optional interface, such as
// ports.QueueStats, it shows what it passes on by itself.
type measured struct {
	ports.Queue
	jobs, refused atomic.Int64
}

// Enqueue implements ports.Queue.
func (m *measured) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	accepted, err := m.Queue.Enqueue(ctx, jobs)
	m.jobs.Add(int64(accepted))
	m.refused.Add(int64(len(jobs) - accepted))
	return accepted, err
}

// Wrapping a port for metrics. It is the same for a store, files, an executor or a feed.
func ExampleQueue() {
	ctx, queue := context.Background(), memory.NewQueue()
	metrics := &measured{Queue: queue}
	redrive, ada := installed(ctx, memory.NewStore(), metrics, &counter{})
	for range 3 {
		_, err := redrive.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "count", Files: []core.NewFile{{Name: "a.txt", Ref: "yours"}}})
		must(err)
	}
	must(queue.Close())
	_, err := redrive.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "count", Files: []core.NewFile{{Name: "a.txt", Ref: "yours"}}})
	fmt.Println("refunded:", errors.Is(err, core.ErrEnqueueFailed))
	fmt.Println(metrics.jobs.Load(), "jobs enqueued,", metrics.refused.Load(), "refused")
	// Output:
	// refunded: true
	// 3 jobs enqueued, 1 refused
}

// installed is Redrive in memory with a tenant who has 100 credits and a template at 2
// credits a file.
func installed(ctx context.Context, store ports.Store, queue ports.Queue, executor ports.Executor) (*app.Service, core.Actor) {
	redrive, err := app.New(app.Deps{
		Store: store, Queue: queue, Files: memory.NewFiles(), Executor: executor, Log: slog.New(slog.DiscardHandler),
	}, app.Options{})
	must(err)
	ops := core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}
	_, err = redrive.CreateTenant(ctx, ops, "acme", "Acme", 100)
	must(err)
	_, err = redrive.CreateTemplate(ctx, ops, core.Template{ID: "count", Tenant: "acme", Name: "Count", CreditsPerRun: 2, Mode: core.ModePerFile})
	must(err)
	_, err = redrive.PublishTemplate(ctx, ops, "acme", "count")
	must(err)
	return redrive, core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
}

type file struct{ name, text string }

func send(ctx context.Context, redrive *app.Service, who core.Actor, files ...file) (core.Run, error) {
	upload, err := redrive.BeginUpload(ctx, who, app.UploadRequest{Tenant: who.Tenant, Template: "count"})
	if err != nil {
		return core.Run{}, err
	}
	defer upload.Discard(ctx) // has no effect once Initiate has taken it
	for _, f := range files {
		if _, err := upload.Add(ctx, f.name, strings.NewReader(f.text)); err != nil {
			return core.Run{}, err
		}
	}
	return redrive.Initiate(ctx, who, app.InitiateRequest{Tenant: who.Tenant, Template: "count", Upload: upload})
}

// work does what waits, without a pool: worker.New is the one for a process.
func work(ctx context.Context, redrive *app.Service, queue *memory.Queue) {
	for queue.Len() > 0 {
		deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
		must(err)
		must(redrive.Work(ctx, deliveries[0]))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
