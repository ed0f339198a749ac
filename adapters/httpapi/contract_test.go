package httpapi_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// The contract of Continue (spec 11): six answers, through a real listener, on each store.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) ports.Store{
		"Memory": func(*testing.T) ports.Store { return memory.NewStore() },
		"SQLite": func(t *testing.T) ports.Store {
			store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "redrive.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			_, err = sqlite.Migrate(t.Context(), store)
			require.NoError(t, err)
			return store
		},
		"Postgres": func(t *testing.T) ports.Store {
			store, _ := pgtest.Open(t, postgres.Config{URL: pgtest.New(t).URL, MaxConns: 4})
			return store
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contract(t, func(t *testing.T) *world {
				t.Helper()
				store := open(t)
				return newWorld(t, func(o *options) { o.store = store })
			})
		})
	}
}

func contract(t *testing.T, newWorld func(*testing.T) *world) {
	t.Run("Continue200", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		// 10 monthly and 90 purchased; 5 files at 2 use up the monthly part.
		id := w.closed("a", "fail-b", "c", "fail-d", "bad-e")
		before := w.get(w.admin, "/workflow-runs/"+id)
		require.Equal(t, "COMPLETED_WITH_ERRORS", before.str("status"))
		require.Equal(t, map[string]any{"ok": true}, before.at("continuable"))
		require.Equal(t, 90, w.get(w.admin, "/balance").int("available"))

		w.script.heal()
		got := w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
		require.Equal(t, http.StatusOK, got.status, got.text())
		require.Equal(t, id, got.str("id"))
		require.Equal(t, "RUNNING", got.str("status"))
		require.Equal(t, 5, got.int("totalJobs"))
		require.Equal(t, 2, got.int("attemptJobs"))
		require.Equal(t, 0, got.int("completedJobs"))
		require.Equal(t, 0, got.int("failedJobs"))
		require.Equal(t, 14, got.int("creditsConsumed"))
		require.Equal(t, 10, got.int("creditsFromMonthly"))
		require.Equal(t, 4, got.int("creditsFromPurchased"))
		require.Equal(t, "2026-11-15T12:00:00Z", got.str("lastRetriedAt"))
		require.Equal(t, string(core.CodeRunAlreadyRunning), got.str("continuable", "code"))
		require.Equal(t, 86, w.get(w.admin, "/balance").int("available"))

		w.work()
		require.Equal(t, []string{"fail-b", "fail-d"}, w.script.names(), "only what failed runs again")
		after := w.get(w.admin, "/workflow-runs/"+id)
		require.Equal(t, "COMPLETED_WITH_ERRORS", after.str("status"))
		require.Equal(t, "TEXT OF FAIL-B", after.str("files", 1, "output"))
		require.Equal(t, 1, after.int("files", 1, "retryAttempt"))
		require.Equal(t, "error", after.str("files", 4, "status"))
		require.Equal(t, string(core.CodeNothingToRetry), after.str("continuable", "code"))
	})

	t.Run("InsufficientCredits402", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("fail-a", "fail-b", "c")
		_, err := w.svc.ChangeTemplate(t.Context(), core.System, acme, "summarise", core.TemplateChange{CreditsPerRun: new(core.Credits(48))})
		require.NoError(t, err)
		got := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, func() answer {
			return w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
		})
		require.Equal(t, 96, got.int("needed"))
		require.Equal(t, 94, got.int("available"))
	})

	t.Run("AlreadyRunning409", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.start("a", "b")
		got := w.refused(http.StatusConflict, core.CodeRunAlreadyRunning, func() answer {
			return w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
		})
		require.Equal(t, id, got.str("run"))
	})

	t.Run("NothingToRetry400", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("a", "bad-b")
		w.refused(http.StatusBadRequest, core.CodeNothingToRetry, func() answer {
			return w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil)
		})
		done := w.closed("a")
		w.refused(http.StatusBadRequest, core.CodeNoErrorsToRetry, func() answer {
			return w.post(w.admin, "/workflow-runs/"+done+"/retry-failed", nil)
		})
	})

	t.Run("UnknownRun404", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, token := range []string{w.admin, w.user, w.platform} {
			w.refused(http.StatusNotFound, core.CodeRunNotFound, func() answer {
				return w.post(token, "/workflow-runs/no-such-run/retry-failed", nil)
			})
		}
	})

	t.Run("CrossTenant403", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		id := w.closed("a", "fail-b")
		got := w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer {
			return w.post(w.stranger, "/workflow-runs/"+id+"/retry-failed", nil)
		})
		require.NotContains(t, got.text(), string(acme), "the answer says whose run it is")
		require.NotContains(t, got.text(), "fail-b")

		w.refused(http.StatusForbidden, core.CodeRoleNotAllowed, func() answer {
			return w.post(w.user, "/workflow-runs/"+id+"/retry-failed", nil)
		})
		w.script.heal()
		require.Equal(t, http.StatusOK, w.post(w.platform, "/workflow-runs/"+id+"/retry-failed", nil).status,
			"a platform admin acts for every tenant")
	})
}
