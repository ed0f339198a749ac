package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// A live process sweeps what a killed one has left of an upload.
func TestSweepsUploads(t *testing.T) {
	t.Parallel()
	files := memory.NewFiles()
	b := newBench(t, ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }),
		func(d *app.Deps, _ *app.Options) { d.Files = files })
	upload, err := files.Begin(t.Context(), tenant, "killed", b.clock.Now().Add(-25*time.Hour))
	require.NoError(t, err)
	stored, err := upload.Add(t.Context(), strings.NewReader("x"))
	require.NoError(t, err)
	b.start(worker.Options{})
	b.eventually("the upload is gone", func() bool {
		_, err := files.Open(t.Context(), tenant, stored.Ref)
		return errors.Is(err, ports.ErrNotFound)
	})
}
