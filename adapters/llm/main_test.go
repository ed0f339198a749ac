package llm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	apiKey = "sk-Secret-0123456789"
	// requestTimeout is one that no healthy request reaches.
	requestTimeout = time.Minute
)

// rig is an executor in front of a fake provider.
type rig struct {
	fake *fakellm.Server
	exec *llm.Executor
	log  *logBuffer
}

// newRig makes one; change adjusts the configuration.
func newRig(t *testing.T, script fakellm.Script, change ...func(*llm.Config)) rig {
	t.Helper()
	fake := fakellm.New(script)
	url, err := fake.Listen("127.0.0.1:0")
	require.NoError(t, err)
	log := &logBuffer{}
	cfg := llm.Config{
		BaseURL: url, APIKey: apiKey, Model: "test-model", Timeout: requestTimeout,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	exec, err := llm.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		exec.Close()
		require.NoError(t, fake.Close())
	})
	return rig{fake, exec, log}
}

// one executes a task of a single file.
func (r rig) one(t *testing.T, file ports.TaskFile) core.FileResult {
	t.Helper()
	results, err := r.exec.Execute(t.Context(), taskOf(file))
	require.NoError(t, err)
	require.Len(t, results, 1)
	require.Equal(t, file.Index, results[0].Index)
	return results[0]
}

func taskOf(files ...ports.TaskFile) ports.Task {
	mode, id := core.ModePerFile, core.FileJobID("run-1", 0)
	if len(files) > 1 {
		mode, id = core.ModeBatch, core.BatchJobID("run-1")
	}
	return ports.Task{
		Job:      core.Job{Tenant: "acme", Run: "run-1", Epoch: 1, ID: id},
		Template: core.Template{Instructions: "Summarise the file.", Mode: mode},
		Files:    files, Try: 1,
	}
}

func textFile(index int, name, text string) ports.TaskFile {
	return ports.TaskFile{
		Index: index, Name: name, Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// logBuffer is a log that a test can read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var errStorage = errors.New("disk on fire at /secret/path")

// brokenReader fails after some bytes.
type brokenReader struct{ io.Reader }

func (brokenReader) Close() error { return nil }

// failingClose gives its content and then fails in Close.
type failingClose struct{ io.Reader }

func (failingClose) Close() error { return errStorage }
