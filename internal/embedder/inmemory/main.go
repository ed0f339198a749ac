// Inmemory is the least program that embeds Redrive: what it has in it is what core,
// core/app and the adapters in memory cost.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"example.com/embedder"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	queue := embedder.NewQueue()
	svc, err := app.New(app.Deps{
		Store: memory.NewStore(), Queue: queue, Files: embedder.NewFiles(&embedder.Bucket{}), Executor: ports.ExecutorFunc(execute),
	}, app.Options{})
	if err != nil {
		return err
	}
	pool, err := worker.New(svc, queue, worker.Options{})
	if err != nil {
		return err
	}
	return pool.Run(ctx)
}

func execute(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }
