package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Embedding: give the use cases a store, a queue, files and an executor, and
// drive them. The README shows this example.
func Example() {
	ctx, quiet := context.Background(), slog.New(slog.DiscardHandler)
	queue := memory.NewQueue()
	redrive, err := app.New(app.Deps{
		Store: memory.NewStore(), Queue: queue, Files: memory.NewFiles(), Log: quiet,
		Executor: &flaky{}, // yours: it answers for each file; this one fails b.txt at first
	}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	must(err)
	ada := setUp(ctx, redrive) // a tenant with 100 credits, a template at 10 credits a file

	run, err := redrive.Initiate(ctx, ada, app.InitiateRequest{
		Tenant: "acme", Template: "summarise", Upload: upload(ctx, redrive, "a.txt", "b.txt", "c.txt"),
	})
	must(err)
	work(ctx, redrive, queue, run.ID) // in a process: worker.New(redrive, queue, …).Run(ctx)

	_, err = redrive.RetryFailed(ctx, ada, run.ID, app.RetryRequest{}) // Continue: b.txt runs again, nothing else
	must(err)
	work(ctx, redrive, queue, run.ID)
	// Output:
	// COMPLETED_WITH_ERRORS, 70 credits left
	// COMPLETED, 60 credits left
}

// flaky completes every file, b.txt only from the second time on.
type flaky struct{ seen int }

func (x *flaky) Execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	f := task.Files[0]
	if f.Name == "b.txt" {
		if x.seen++; x.seen == 1 {
			return []core.FileResult{{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "rate_limited"}}}, nil
		}
	}
	return []core.FileResult{{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "summary of " + f.Name}}, nil
}

func setUp(ctx context.Context, redrive *app.Service) core.Actor {
	platform := core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}
	_, err := redrive.CreateTenant(ctx, platform, "acme", "Acme", 0)
	must(err)
	_, err = redrive.PurchaseCredits(ctx, platform, "acme", "invoice-1", 100)
	must(err)
	_, err = redrive.CreateTemplate(ctx, platform, core.Template{ID: "summarise", Tenant: "acme", Name: "Summarise", CreditsPerRun: 10, Mode: core.ModePerFile})
	must(err)
	_, err = redrive.PublishTemplate(ctx, platform, "acme", "summarise")
	must(err)
	return core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
}

func upload(ctx context.Context, redrive *app.Service, names ...string) *app.Upload {
	files, err := redrive.BeginUpload(ctx, admin, app.UploadRequest{Tenant: "acme", Template: "summarise"})
	must(err)
	for _, name := range names {
		_, err := files.Add(ctx, name, strings.NewReader("text of "+name))
		must(err)
	}
	return files // defer files.Discard(ctx) if anything may fail before Initiate
}

func work(ctx context.Context, redrive *app.Service, queue *memory.Queue, run core.RunID) {
	for queue.Len() > 0 {
		deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
		must(err)
		must(redrive.Work(ctx, deliveries[0]))
	}
	view, err := redrive.Run(ctx, admin, run)
	must(err)
	balance, err := redrive.Balance(ctx, admin, "acme")
	must(err)
	fmt.Printf("%s, %d credits left\n", view.Run.Status, balance.Available())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// The README's example is the tested one, to the letter.
func TestReadmeShowsTheExample(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(source), "func Example() {\n")
	require.True(t, found)
	body, _, found = strings.Cut(body, "\n}\n")
	require.True(t, found)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var shown []string
	for line := range strings.Lines(body) {
		shown = append(shown, strings.TrimPrefix(line, "\t"))
	}
	require.Contains(t, string(readme), "```go\n"+strings.Join(shown, "")+"\n```")
}
