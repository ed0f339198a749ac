package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// required are all the ports that have no default.
func required() app.Deps {
	return app.Deps{Store: memory.NewStore(), Queue: memory.NewQueue(), Files: memory.NewFiles(), Executor: &script{}}
}

func TestWhatIsRequired(t *testing.T) {
	t.Parallel()
	_, err := app.New(required(), app.Options{})
	require.NoError(t, err)
	for name, leaveOut := range map[string]func(*app.Deps){
		"Store":    func(d *app.Deps) { d.Store = nil },
		"Queue":    func(d *app.Deps) { d.Queue = nil },
		"Files":    func(d *app.Deps) { d.Files = nil },
		"Executor": func(d *app.Deps) { d.Executor = nil },
	} {
		d := required()
		leaveOut(&d)
		_, err := app.New(d, app.Options{})
		require.ErrorContains(t, err, "Deps."+name+" is required")
	}
}

// By default the time is the machine's, as exact as every store can keep, and IDs are
// UUIDs that ascend.
func TestDefaultClockAndIDs(t *testing.T) {
	t.Parallel()
	svc, err := app.New(required(), app.Options{})
	require.NoError(t, err)
	before := time.Now().Truncate(time.Microsecond)
	tenant, err := svc.CreateTenant(t.Context(), platform, acme, "Acme", 0)
	require.NoError(t, err)
	require.WithinRange(t, tenant.CreatedAt, before, time.Now())
	require.Equal(t, time.UTC, tenant.CreatedAt.Location())
	require.Equal(t, tenant.CreatedAt.Truncate(time.Microsecond), tenant.CreatedAt)
	var last core.TemplateID
	for range 100 {
		made, err := svc.CreateTemplate(t.Context(), platform, core.Template{Tenant: acme, Name: "T", CreditsPerRun: 1, Mode: core.ModePerFile})
		require.NoError(t, err)
		id, err := uuid.Parse(string(made.ID))
		require.NoError(t, err)
		require.Equal(t, uuid.Version(7), id.Version())
		require.Greater(t, made.ID, last)
		last = made.ID
	}
}

func TestSystemClockSleeps(t *testing.T) {
	t.Parallel()
	began := time.Now()
	require.NoError(t, app.SystemClock{}.Sleep(t.Context(), time.Millisecond))
	require.GreaterOrEqual(t, time.Since(began), time.Millisecond)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, app.SystemClock{}.Sleep(ended, time.Hour), context.Canceled)
}

type fixedIDs string

func (s fixedIDs) NewID() string { return string(s) }

// IDs that make what is no ID are at fault, not the caller: nothing is stored that nobody
// could ask for again.
func TestIDsThatAreNone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, id := range []string{"", "..", "run/1", "läufe"} {
		d := required()
		d.IDs = fixedIDs(id)
		svc, err := app.New(d, app.Options{})
		require.NoError(t, err)
		install.Make(t, svc, install.Tenant{ID: acme, Allowance: 100, Templates: []core.Template{{ID: template, CreditsPerRun: 1}}})

		blamed := func(err error) {
			t.Helper()
			require.ErrorContains(t, err, "Deps.IDs")
			require.NotErrorIs(t, err, core.ErrInvalidRequest, "it is not the caller's fault")
		}
		_, err = svc.Initiate(ctx, admin, app.InitiateRequest{Tenant: acme, Template: template, Files: []core.NewFile{{Name: "a", Ref: "a"}}})
		blamed(err)
		_, err = svc.BeginUpload(ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
		blamed(err)
		_, err = svc.CreateTemplate(ctx, platform, core.Template{Tenant: acme, Name: "T", CreditsPerRun: 1, Mode: core.ModePerFile})
		blamed(err)
		_, err = svc.TryTemplate(ctx, platform, acme, template, "a.txt", []byte("text"))
		blamed(err)
		runs, err := svc.Runs(ctx, admin, acme, ports.RunFilter{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, runs)
		balance, err := svc.Balance(ctx, admin, acme)
		require.NoError(t, err)
		require.Equal(t, core.Credits(100), balance.Available())
	}
}
