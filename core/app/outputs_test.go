package app_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// manyOutputs is a store whose runs have many completed files, which it makes as they are
// read.
type manyOutputs struct {
	ports.Store
	files, each int // how many, and how long their outputs are
	long        int // the output of the last file
}

// View implements ports.Store.
func (s manyOutputs) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	return s.Store.View(ctx, tenant, func(tx ports.Tx) error { return fn(manyOutputsTx{tx, s}) })
}

type manyOutputsTx struct {
	ports.Tx
	store manyOutputs
}

// FileViews implements ports.Tx.
func (tx manyOutputsTx) FileViews() ports.FileViews {
	return manyOutputsViews{tx.Tx.FileViews(), tx.store}
}

type manyOutputsViews struct {
	ports.FileViews
	store manyOutputs
}

func (v manyOutputsViews) file(i int, most int) core.File {
	n := v.store.each
	if i == v.store.files-1 {
		n = v.store.long
	}
	f := core.File{Index: i, Name: fmt.Sprintf("file-%d", i), Status: core.FileCompleted, OutputBytes: int64(n)}
	if n <= most {
		f.Output = strings.Repeat("\n", n) // two bytes each in JSON
	}
	return f
}

// Page implements ports.FileViews.
func (v manyOutputsViews) Page(_ context.Context, _ core.RunID, filter ports.FileFilter) (list []core.File, _ error) {
	for i := filter.From; i < v.store.files && len(list) < filter.Limit; i++ {
		list = append(list, v.file(i, filter.OutputBytes))
	}
	return list, nil
}

// Output implements ports.FileViews.
func (v manyOutputsViews) Output(_ context.Context, _ core.RunID, index int) (core.File, error) {
	return v.file(index, v.store.long), nil
}

// heapWatch is a writer that looks at the live heap now and then.
type heapWatch struct {
	written, next, most uint64
}

// Write implements io.Writer.
func (h *heapWatch) Write(p []byte) (int, error) {
	if h.written += uint64(len(p)); h.written >= h.next {
		h.next = h.written + h.written/2
		h.most = max(h.most, liveHeap())
	}
	return len(p), nil
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// However many files a run has, a download holds a group of them and one long output. The
// test is not parallel: it looks at the heap of the whole process.
func TestOutputsTakeLittleMemory(t *testing.T) { //nolint:paralleltest // see above
	w := newWorld(t)
	run := w.initiate(1)
	const long = 4 << 20
	svc, err := app.New(app.Deps{
		Store: manyOutputs{Store: w.store, files: 10_000, each: 4 << 10, long: long}, Queue: w.queue, Executor: w.script, Files: w.files,
	}, app.DefaultOptions())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		write func(*app.Outputs, io.Writer) error
		most  uint64
	}{
		// Two copies of a group or of the long output, and of an archive the list of its entries.
		"JSONL": {func(o *app.Outputs, w io.Writer) error { return o.WriteJSONL(t.Context(), w) }, 2*long + 2<<20},
		"CSV":   {func(o *app.Outputs, w io.Writer) error { return o.WriteCSV(t.Context(), w, true) }, 2*long + 2<<20},
		"ZIP":   {func(o *app.Outputs, w io.Writer) error { return o.WriteZIP(t.Context(), w) }, 2*long + 10<<20},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // see above
			outputs, err := svc.Outputs(t.Context(), user, run.ID)
			require.NoError(t, err)
			defer outputs.Close()
			before := liveHeap()
			watch := &heapWatch{}
			require.NoError(t, c.write(outputs, watch))
			require.NotZero(t, watch.most)
			t.Logf("%s: %d KiB written, at most %d KiB of heap beside", name, watch.written>>10, (int64(watch.most)-int64(before))>>10)
			require.Less(t, watch.most, before+c.most)
		})
	}
}

func TestPlacesOfDownloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOptions(func(o *app.Options) { o.MaxDownloads, o.MaxTenantDownloads = 3, 2 }))
	run := w.initiate(1)
	var held []*app.Outputs
	for range 2 {
		o, err := w.svc.Outputs(t.Context(), user, run.ID)
		require.NoError(t, err)
		held = append(held, o)
	}
	_, err := w.svc.Outputs(t.Context(), admin, run.ID)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
	require.ErrorContains(t, err, "2 downloads of this tenant's")
	held[0].Close()
	held[0].Close() // a repeat frees no second place
	_, err = w.svc.Outputs(t.Context(), user, run.ID)
	require.NoError(t, err)
	_, err = w.svc.Outputs(t.Context(), user, run.ID)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
	_, err = w.svc.Outputs(t.Context(), stranger, run.ID)
	require.ErrorIs(t, err, core.ErrWrongTenant)
}

// Single files have places until they are closed, of a tenant and in all, and no refusal
// or fault keeps one.
func TestPlacesOfFileDownloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOptions(func(o *app.Options) { o.MaxFileDownloads, o.MaxTenantFileDownloads = 3, 2 }))
	run := w.closedRun("cf")
	for range 5 {
		_, _, err := w.svc.DownloadOutput(t.Context(), user, run.ID, 9)
		require.ErrorIs(t, err, core.ErrFileNotFound)
		_, _, err = w.svc.FileInput(t.Context(), user, run.ID, 9)
		require.ErrorIs(t, err, core.ErrFileNotFound)
		_, _, err = w.svc.DownloadOutput(t.Context(), stranger, run.ID, 0)
		require.ErrorIs(t, err, core.ErrWrongTenant)
		_, err = w.svc.Download(stranger, acme)
		require.ErrorIs(t, err, core.ErrWrongTenant)
	}
	file, leave, err := w.svc.DownloadOutput(t.Context(), user, run.ID, 0)
	require.NoError(t, err)
	require.NotEmpty(t, file.Output)
	_, content, err := w.svc.FileInput(t.Context(), user, run.ID, 1)
	require.NoError(t, err)
	_, _, err = w.svc.FileInput(t.Context(), admin, run.ID, 0)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
	require.ErrorContains(t, err, "2 downloads of this tenant's files")
	_, _, err = w.svc.DownloadOutput(t.Context(), admin, run.ID, 0)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
	_, err = w.svc.Download(admin, acme)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
	outputs, err := w.svc.Outputs(t.Context(), user, run.ID)
	require.NoError(t, err, "all outputs have places of their own")
	outputs.Close()

	other, err := w.svc.Download(stranger, globex)
	require.NoError(t, err, "another tenant has its own")
	_, err = w.svc.Download(stranger, globex)
	require.ErrorContains(t, err, "this server sends 3 downloads of files")
	other()
	require.NoError(t, content.Close())
	leave()
	leave() // a repeat frees no second place
	for range 2 {
		_, err = w.svc.Download(user, acme)
		require.NoError(t, err)
	}
	_, err = w.svc.Download(user, acme)
	require.ErrorIs(t, err, core.ErrTooManyDownloads)
}
