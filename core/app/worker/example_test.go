package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// A worker on a queue in memory, in the process that takes the uploads as well. It runs
// beside the rest until its context ends.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	queue := memory.NewQueue()
	redrive := installed(queue, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		f := task.Files[0] // a job of one file, by the template's mode
		return []core.FileResult{{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "summary of " + f.Name}}, nil
	}))
	pool, err := worker.New(redrive, queue, worker.Options{Concurrency: 8, TenantConcurrency: 4})
	must(err)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()

	run := start(ctx, redrive, "a.txt", "b.txt")
	fmt.Println(closed(ctx, redrive, run))
	stop()
	fmt.Println(<-ended)
	// Output:
	// COMPLETED
	// <nil>
}

// A graceful stop: nothing more is claimed, what is being executed may finish within
// DrainTimeout, and what is not is handed back, which costs nobody anything. What waits in
// a queue that outlives the process, or is sent again by recovery, is the next one's.
func ExampleWorker_Run() {
	ctx := context.Background()
	queue, working, finish := memory.NewQueue(), make(chan string), make(chan struct{})
	redrive := installed(queue, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		working <- task.Files[0].Name
		<-finish
		return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: "done"}}, nil
	}))
	pool, err := worker.New(redrive, queue, worker.Options{DrainTimeout: time.Minute})
	must(err)
	untilSignal, signal := context.WithCancel(ctx) // in main: signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(untilSignal) }()

	run := start(ctx, redrive, "a.txt")
	fmt.Println("executing", <-working)
	signal()
	close(finish)
	fmt.Println("stopped:", <-ended) // only now close the queue and the store
	fmt.Println("a:", closed(ctx, redrive, run))

	run = start(ctx, redrive, "b.txt") // nobody works on it
	next, err := worker.New(redrive, queue, worker.Options{})
	must(err)
	again, stop := context.WithCancel(ctx)
	go func() { ended <- next.Run(again) }()
	fmt.Println("executing", <-working)
	fmt.Println("b:", closed(ctx, redrive, run))
	stop()
	must(<-ended)
	// Output:
	// executing a.txt
	// stopped: <nil>
	// a: COMPLETED
	// executing b.txt
	// b: COMPLETED
}

var ada = core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}

// installed is Redrive in memory with a tenant who has 100 credits and a template.
func installed(queue ports.Queue, executor ports.Executor) *app.Service {
	ctx, ops := context.Background(), core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}
	redrive, err := app.New(app.Deps{
		Store: memory.NewStore(), Queue: queue, Files: memory.NewFiles(), Executor: executor, Log: slog.New(slog.DiscardHandler),
	}, app.Options{})
	must(err)
	_, err = redrive.CreateTenant(ctx, ops, "acme", "Acme", 100)
	must(err)
	_, err = redrive.CreateTemplate(ctx, ops, core.Template{ID: "summarise", Tenant: "acme", Name: "Summarise", CreditsPerRun: 10, Mode: core.ModePerFile})
	must(err)
	_, err = redrive.PublishTemplate(ctx, ops, "acme", "summarise")
	must(err)
	return redrive
}

func start(ctx context.Context, redrive *app.Service, names ...string) core.RunID {
	files, err := redrive.BeginUpload(ctx, ada, app.UploadRequest{Tenant: "acme", Template: "summarise"})
	must(err)
	for _, name := range names {
		_, err := files.Add(ctx, name, strings.NewReader("text of "+name))
		must(err)
	}
	run, err := redrive.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "summarise", Upload: files})
	must(err)
	return run.ID
}

// closed waits until a run is no longer RUNNING.
func closed(ctx context.Context, redrive *app.Service, id core.RunID) core.RunStatus {
	for {
		view, err := redrive.Run(ctx, ada, id)
		must(err)
		if view.Run.Status != core.RunRunning {
			return view.Run.Status
		}
		time.Sleep(time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
