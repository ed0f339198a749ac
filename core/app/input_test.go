package app_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Callers who may read the run can read its uploaded files again, with any outcome.
func TestFileInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("cfe")
	for index, status := range []core.FileStatus{core.FileCompleted, core.FileFailed, core.FileError} {
		f, content, err := w.svc.FileInput(w.ctx, user, run.ID, index)
		require.NoError(t, err)
		text, err := io.ReadAll(content)
		require.NoError(t, err)
		require.NoError(t, content.Close())
		require.Equal(t, "content of "+f.Name, string(text))
		require.Equal(t, status, f.Status)
		require.Equal(t, index, f.Index)
	}
	for _, index := range []int{-1, 3} {
		_, _, err := w.svc.FileInput(w.ctx, user, run.ID, index)
		require.ErrorIs(t, err, core.ErrFileNotFound)
		require.NotErrorIs(t, err, ports.ErrNotFound)
	}
	_, _, err := w.svc.FileInput(w.ctx, stranger, run.ID, 0)
	require.ErrorIs(t, err, core.ErrWrongTenant)
	_, _, err = w.svc.FileInput(w.ctx, user, "none", 0)
	require.ErrorIs(t, err, core.ErrRunNotFound)
}

func TestFileInputThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := w.request(1)
	req.Files[0].Ref = "was/removed"
	run, err := w.svc.Initiate(w.ctx, admin, req)
	require.NoError(t, err)
	_, content, err := w.svc.FileInput(w.ctx, user, run.ID, 0)
	require.Nil(t, content)
	require.ErrorIs(t, err, core.ErrFileNotFound)
	require.ErrorIs(t, err, ports.ErrNotFound)
	require.ErrorContains(t, err, "the stored content of file 0 is gone")
}
