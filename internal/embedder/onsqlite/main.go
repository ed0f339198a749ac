// Onsqlite is the least program that embeds Redrive with the store in a file: what it
// has in it is what core, core/app and one store cost.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"

	"example.com/embedder"

	"github.com/redrive/redrive/adapters/sqlite"
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

func run(ctx context.Context) (err error) {
	store, err := sqlite.Open(ctx, "redrive.db")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := sqlite.Migrate(ctx, store); err != nil {
		return err
	}
	queue := embedder.NewQueue()
	svc, err := app.New(app.Deps{
		Store: store, Queue: queue, Files: embedder.NewFiles(&embedder.Bucket{}), Executor: ports.ExecutorFunc(execute),
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
