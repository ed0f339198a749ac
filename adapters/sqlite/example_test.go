package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Everything in a file, for a program on one machine. What was answered is there when the
// next process opens it.
func Example() {
	ctx, ops := context.Background(), core.Actor{Subject: "ops", Role: core.RolePlatformAdmin}
	dir, err := os.MkdirTemp("", "redrive")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "redrive.db")

	store, redrive := open(ctx, file)
	_, err = redrive.CreateTenant(ctx, ops, "acme", "Acme", 100)
	must(err)
	_, err = sqlite.Open(ctx, file)
	fmt.Println("one process at a time:", errors.Is(err, sqlite.ErrInUse))
	must(store.Close())

	store, redrive = open(ctx, file)
	balance, err := redrive.Balance(ctx, ops, "acme")
	must(err)
	fmt.Println(balance.Available(), "credits left")
	must(store.Close())
	// Output:
	// one process at a time: true
	// 100 credits left
}

// open gives Redrive on a file, which it makes if it is not there.
func open(ctx context.Context, file string) (*sqlite.Store, *app.Service) {
	store, err := sqlite.Open(ctx, file)
	must(err)
	_, err = sqlite.Migrate(ctx, store)
	must(err)
	redrive, err := app.New(app.Deps{
		Store: store, Queue: memory.NewQueue(), Files: memory.NewFiles(), Log: slog.New(slog.DiscardHandler),
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }),
	}, app.Options{})
	must(err)
	return store, redrive
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
