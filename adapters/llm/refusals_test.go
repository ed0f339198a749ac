package llm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// asked makes a task of one file of a run of a template.
func asked(run core.RunID, template core.TemplateID, version int, name, text string) ports.Task {
	return ports.Task{
		Job:      core.Job{Tenant: "acme", Run: run, Epoch: 1, ID: core.FileJobID(run, 0)},
		Template: core.Template{ID: template, Version: version, Instructions: "Summarise.", Mode: core.ModePerFile},
		Files: []ports.TaskFile{{Name: name, Size: int64(len(text)), Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}}},
		Try: 1,
	}
}

// TestUnexplainedRefusals: one refusal without a reason shows nothing. The same refusal
// of three files of two runs, without a completed file, concerns the template.
func TestUnexplainedRefusals(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, script fakellm.Script) func(ports.Task) core.FileResult {
		t.Helper()
		fake := fakellm.New(script)
		url, err := fake.Listen("127.0.0.1:0")
		require.NoError(t, err)
		exec, err := New(Config{BaseURL: url, Model: "m"})
		require.NoError(t, err)
		t.Cleanup(func() {
			exec.Close()
			require.NoError(t, fake.Close())
		})
		return func(task ports.Task) core.FileResult {
			results, err := exec.Execute(t.Context(), task)
			require.NoError(t, err)
			require.Len(t, results, 1)
			return results[0]
		}
	}
	refuse := fakellm.Respond(400, nil, `{"error":{"message":"Request contains an invalid argument."}}`)
	stays := func(t *testing.T, got core.FileResult) {
		t.Helper()
		require.Equal(t, core.OutcomeTransient, got.Outcome)
		require.Equal(t, FailureRejected, got.Failure.Code)
	}
	isOurs := func(t *testing.T, got core.FileResult) {
		t.Helper()
		require.Equal(t, core.OutcomeInterrupted, got.Outcome)
		require.Equal(t, FailureShape, got.Failure.Code)
	}

	t.Run("OfThreeFilesOfTwoRunsAreOurs", func(t *testing.T) {
		t.Parallel()
		ask := start(t, fakellm.Always(refuse))
		stays(t, ask(asked("r1", "t", 1, "a", "x")))
		stays(t, ask(asked("r1", "t", 1, "b", "x")))
		isOurs(t, ask(asked("r2", "t", 1, "c", "x")))
		isOurs(t, ask(asked("r2", "t", 1, "a", "x")))
		stays(t, ask(asked("r2", "t", 2, "d", "x")))     // another version is another request
		stays(t, ask(asked("r2", "other", 1, "d", "x"))) // and so is another template
	})
	t.Run("OfOneRunSayNothing", func(t *testing.T) {
		t.Parallel()
		ask := start(t, fakellm.Always(refuse))
		for i := range 10 {
			stays(t, ask(asked("r1", "t", 1, fmt.Sprint(i), "x")))
		}
	})
	t.Run("OfTheSameFileSayNothing", func(t *testing.T) {
		t.Parallel()
		ask := start(t, fakellm.Always(refuse))
		for i := range 10 {
			stays(t, ask(asked(core.RunID(fmt.Sprint("r", i)), "t", 1, "a", "x")))
		}
	})
	t.Run("AreForgottenWhenAFileIsCompleted", func(t *testing.T) {
		t.Parallel()
		ask := start(t, func(in fakellm.Request) fakellm.Action {
			if in.File == "good" {
				return fakellm.OK()
			}
			return refuse
		})
		stays(t, ask(asked("r1", "t", 1, "a", "x")))
		stays(t, ask(asked("r1", "t", 1, "b", "x")))
		require.Equal(t, core.OutcomeCompleted, ask(asked("r2", "t", 1, "good", "x")).Outcome)
		stays(t, ask(asked("r2", "t", 1, "c", "x")))
		stays(t, ask(asked("r2", "t", 1, "d", "x")))
		isOurs(t, ask(asked("r3", "t", 1, "e", "x")))
		require.Equal(t, core.OutcomeCompleted, ask(asked("r3", "t", 1, "good", "x")).Outcome, "the shape is asked on all the same")
		stays(t, ask(asked("r3", "t", 1, "f", "x")))
	})
	t.Run("OfAnotherKindCountByThemselves", func(t *testing.T) {
		t.Parallel()
		ask := start(t, func(in fakellm.Request) fakellm.Action {
			if in.File == "b" {
				return fakellm.Respond(http.StatusUnprocessableEntity, nil, ``)
			}
			return fakellm.Respond(400, nil, `{"error":{"message":"Bad value at position `+fmt.Sprint(in.Seen)+` of '`+in.File+`'"}}`)
		})
		stays(t, ask(asked("r1", "t", 1, "a", "x")))
		stays(t, ask(asked("r1", "t", 1, "b", "x")))
		stays(t, ask(asked("r2", "t", 1, "c", "x")))
		isOurs(t, ask(asked("r2", "t", 1, "d", "x"))) // details that differ from file to file make no other refusal
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRefusals()
	for i := range 2 * maxRefusedTemplates {
		key := templateKey{"acme", core.TemplateID(fmt.Sprint(i)), 1}
		for j := range 2 * maxRefusalsEach {
			for k := range 4 {
				r.add(key, core.RunID(fmt.Sprint(k)), fileDigest(fmt.Sprint(j), ""), fileDigest(fmt.Sprint(k), ""))
			}
		}
	}
	require.Len(t, r.byTemplate, maxRefusedTemplates)
	require.Equal(t, maxRefusedTemplates, r.recent.Len())
	for _, e := range r.byTemplate {
		require.LessOrEqual(t, len(entry(e).seen), maxRefusalsEach)
		require.Len(t, entry(e).order, len(entry(e).seen))
		for _, s := range entry(e).seen {
			require.LessOrEqual(t, len(s.files), refusedFiles)
			require.LessOrEqual(t, len(s.runs), refusedRuns)
		}
	}
	require.Contains(t, r.byTemplate, templateKey{"acme", core.TemplateID(fmt.Sprint(2*maxRefusedTemplates - 1)), 1})
	require.NotContains(t, r.byTemplate, templateKey{"acme", "0", 1})
}

func TestRefusalsOfManyGoroutines(t *testing.T) {
	t.Parallel()
	r := newRefusals()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				key := templateKey{"acme", core.TemplateID(fmt.Sprint(i % 5)), 1}
				r.add(key, core.RunID(fmt.Sprint(g)), digest{}, fileDigest(fmt.Sprint(i), ""))
				if i%50 == g {
					r.completed(key)
				}
			}
		})
	}
	wg.Wait()
	require.True(t, r.add(templateKey{"acme", "4", 1}, "last", digest{}, digest{}))
}
