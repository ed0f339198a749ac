package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// picky is an executor that takes files of up to 20 bytes that are not blank.
type picky struct{ ports.Executor }

func (picky) MaxFileBytes() int64 { return 20 }

func (picky) Accept(_ string, content []byte) *core.Failure {
	if strings.TrimSpace(string(content)) == "" {
		return &core.Failure{Code: "file_empty", Message: "the file is empty; send text"}
	}
	return nil
}

// uploads is a world in which files are uploaded.
type uploads struct {
	*world
	t    *testing.T
	away *awayStore
}

// awayStore is a store that cannot be reached while it is away.
type awayStore struct {
	*faultyStore
	away bool
}

// InTx implements ports.Store.
func (s *awayStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if s.away {
		return ports.ErrUnavailable
	}
	return s.faultyStore.InTx(ctx, tenant, fn)
}

// TenantOf implements ports.Store.
func (s *awayStore) TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error) {
	if s.away {
		return "", ports.ErrUnavailable
	}
	return s.faultyStore.TenantOf(ctx, run)
}

func newUploads(t *testing.T, change ...func(*app.Options)) *uploads {
	t.Helper()
	w := newWorld(t)
	options := w.svc.Options()
	for _, c := range change {
		c(&options)
	}
	away := &awayStore{faultyStore: w.faultyStore}
	w.svc = install.Service(t, app.Deps{
		Store: away, Queue: w.faultyQueue, Executor: picky{w.script}, Files: w.files,
		Clock: sleepingClock{w.clock}, IDs: memory.NewSequence("upload"),
	}, options)
	return &uploads{world: w, t: t, away: away}
}

func (w *uploads) begin() *app.Upload {
	w.t.Helper()
	u, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
	require.NoError(w.t, err)
	return u
}

func (w *uploads) add(u *app.Upload, name, content string) core.NewFile {
	w.t.Helper()
	f, err := u.Add(w.ctx, name, strings.NewReader(content))
	require.NoError(w.t, err)
	return f
}

func (w *uploads) run(u *app.Upload, key core.Key) (core.Run, error) {
	return w.svc.Initiate(w.ctx, admin, app.InitiateRequest{Tenant: acme, Template: template, Upload: u, IdempotencyKey: key})
}

// left gives the uploads that were neither kept nor removed.
func (w *uploads) left() (ids []core.RunID) {
	w.t.Helper()
	for left, err := range w.files.Leftovers(w.ctx, w.clock.Now().Add(1000*time.Hour)) {
		require.NoError(w.t, err)
		ids = append(ids, left.Upload)
	}
	return ids
}

func (w *uploads) there(f core.NewFile) bool {
	r, err := w.files.Open(w.ctx, acme, f.Ref)
	if errors.Is(err, ports.ErrNotFound) {
		return false
	}
	require.NoError(w.t, err)
	require.NoError(w.t, r.Close())
	return true
}

func TestUploadBecomesARun(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	u := w.begin()
	defer u.Discard(w.ctx)
	require.Empty(t, w.left(), "nothing is stored before there is a file")
	a, b := w.add(u, "sub/a.txt", "the same"), w.add(u, "other/a.txt", "the same")
	require.Len(t, w.left(), 1)
	run, err := w.run(u, "")
	require.NoError(t, err)
	require.Equal(t, core.RunID("upload-1"), run.ID, "the upload's ID is the run's")
	u.Discard(w.ctx)
	require.True(t, w.there(a) && w.there(b))
	require.Empty(t, w.left())
	w.workAll()
	files, err := w.svc.RunFiles(w.ctx, admin, run.ID, ports.FileFilter{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"sub/a.txt", "other/a.txt"}, []string{files[0].Name, files[1].Name})

	_, err = w.run(u, "")
	require.ErrorContains(t, err, "has ended")
	_, err = u.Add(w.ctx, "c", strings.NewReader("c"))
	require.ErrorContains(t, err, "has ended")
}

// Caller, tenant, template and price are checked before a byte is stored.
func TestUploadRefusedBeforeAnythingIsStored(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	zero := 0
	for name, c := range map[string]struct {
		actor  core.Actor
		change func(*app.UploadRequest)
		want   *core.Error
	}{
		"OtherTenant":     {stranger, func(*app.UploadRequest) {}, core.ErrWrongTenant},
		"UnknownRole":     {core.Actor{Tenant: acme, Role: "guest"}, func(*app.UploadRequest) {}, core.ErrRoleNotAllowed},
		"UnknownTenant":   {platform, func(r *app.UploadRequest) { r.Tenant = "initech" }, core.ErrTenantNotFound},
		"UnknownTemplate": {admin, func(r *app.UploadRequest) { r.Template = "nothing" }, core.ErrTemplateNotFound},
		"TooExpensive":    {admin, func(r *app.UploadRequest) { r.Files = 16 }, core.ErrInsufficientCredits},
		"TooManyFiles":    {admin, func(r *app.UploadRequest) { r.Files = 10_001 }, core.ErrInvalidRequest},
		"MaxRetryCount":   {admin, func(r *app.UploadRequest) { r.MaxRetryCount = &zero }, core.ErrInvalidRequest},
		"BadKey":          {admin, func(r *app.UploadRequest) { r.IdempotencyKey = "a b" }, core.ErrInvalidRequest},
	} {
		req := app.UploadRequest{Tenant: acme, Template: template}
		c.change(&req)
		w.requireRefused(c.want, func() error { _, err := w.svc.BeginUpload(w.ctx, c.actor, req); return err })
		require.Empty(t, w.left(), name)
	}
	_, err := w.svc.DeleteTemplate(w.ctx, platform, acme, template)
	require.NoError(t, err)
	w.requireRefused(core.ErrTemplateDeleted, func() error {
		_, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
		return err
	})
}

// Every refused file is named, and nothing of the upload is kept.
func TestUploadNamesWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	u := w.begin()
	good := w.add(u, "good.txt", "text")
	for _, bad := range [][2]string{
		{"blank.txt", " \n"},
		{"long.txt", strings.Repeat("x", 21)},
		{"a\tb", "text"},
		{"../up.txt", "text"},
		{"", "text"},
		{"\xff.txt", "text"},
		{strings.Repeat("n", 256), "text"},
		{" ", "text"},
		{`C:\temp\a.txt`, "text"},
		{"/etc/a", "text"},
	} {
		_, err := u.Add(w.ctx, bad[0], strings.NewReader(bad[1]))
		require.Error(t, err, bad[0])
	}
	_, err := u.Add(w.ctx, "fine.txt", strings.NewReader("text"))
	require.NoError(t, err)
	w.requireRefused(core.ErrPayloadTooLarge, func() (err error) { _, err = w.run(u, ""); return err })
	require.False(t, w.there(good))
	require.Empty(t, w.left())

	refusal, ok := errors.AsType[*core.Error](u.Refused())
	require.True(t, ok)
	require.Contains(t, refusal.Message, "at most 20 bytes")
	var named []string
	for _, f := range refusal.Fields {
		named = append(named, f.Field+": "+f.Message)
	}
	require.Equal(t, []string{
		`files[1]: "blank.txt": the file is empty; send text`,
		`files[2]: "long.txt": may have at most 20 bytes`,
		`files[3].name: has the control character U+0009 as its character 2; rename the file`,
		`files[4].name: leads out of the folder of the upload; send it relative and without '..', like sub/readme.txt`,
		`files[5].name: is empty; each file needs a name`,
		`files[6].name: is not UTF-8; send the name in UTF-8`,
		`files[7].name: has 256 characters, folders included; at most 255 are allowed`,
		`files[8].name: has blanks only; each file needs a name`,
		`files[9].name: leads out of the folder of the upload; send it relative and without '..', like sub/readme.txt`,
		`files[10].name: leads out of the folder of the upload; send it relative and without '..', like sub/readme.txt`,
	}, named)
}

// Nothing of a failed upload is kept or counts against the quota, for every cause.
func TestUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection broke")
	for name, end := range map[string]func(w *uploads, u *app.Upload){
		"Discarded": func(*uploads, *app.Upload) {},
		"ClientWentAway": func(w *uploads, _ *app.Upload) {
			ctx, cancel := context.WithCancel(w.ctx)
			cancel()
			w.ctx = ctx
		},
		"ReadingFails": func(w *uploads, u *app.Upload) {
			_, err := u.Add(w.ctx, "b", io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, broken })))
			require.ErrorIs(w.t, err, broken)
			_, err = w.run(u, "") // must not make a run without that file
			require.ErrorIs(w.t, err, broken)
		},
		"ReaderPanics": func(w *uploads, u *app.Upload) {
			require.Panics(w.t, func() { _, _ = u.Add(w.ctx, "b", readerFunc(func([]byte) (int, error) { panic(broken) })) })
		},
		"Credits": func(w *uploads, u *app.Upload) {
			for i := range 14 {
				w.add(u, fmt.Sprint("f", i), "x")
			}
			w.initiate(1) // takes the credits of one of them
			w.requireRefused(core.ErrInsufficientCredits, func() (err error) { _, err = w.run(u, ""); return err })
		},
		"StoreFails": func(w *uploads, u *app.Upload) {
			w.away.away = true
			_, err := w.run(u, "")
			w.away.away = false
			require.ErrorIs(w.t, err, ports.ErrUnavailable)
		},
		"OtherTenant": func(w *uploads, u *app.Upload) {
			_, err := w.svc.Initiate(w.ctx, platform, app.InitiateRequest{Tenant: globex, Template: template, Upload: u})
			require.ErrorIs(w.t, err, core.ErrInvalidRequest)
		},
		"TooSlow": func(w *uploads, u *app.Upload) {
			w.clock.Advance(13 * time.Hour)
			_, err := w.run(u, "")
			require.ErrorIs(w.t, err, ports.ErrUnavailable)
		},
		"Repeat": func(w *uploads, u *app.Upload) {
			first := w.begin()
			w.add(first, "a", "text")
			one, err := w.run(first, "k1")
			require.NoError(w.t, err)
			again, err := w.run(u, "k1") // it had begun before the first was answered
			require.NoError(w.t, err)
			require.Equal(w.t, one, again)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newUploads(t, func(o *app.Options) { o.MaxTenantUploads = 2 })
			u := w.begin()
			f := w.add(u, "a", "text")
			require.True(t, w.there(f))
			end(w, u)
			u.Discard(w.ctx)
			w.ctx = context.Background()
			require.False(t, w.there(f))
			require.Empty(t, w.left())
			w.begin()
			w.begin().Discard(w.ctx)
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A run whose enqueueing failed is kept for a Continue, and so are its files.
func TestUploadStaysWithItsRun(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	u := w.begin()
	f := w.add(u, "a", "text")
	w.faultyQueue.fail(0)
	run, err := w.run(u, "")
	require.ErrorIs(t, err, core.ErrEnqueueFailed)
	w.faultyQueue.heal()
	u.Discard(w.ctx)
	require.True(t, w.there(f))
	_, err = w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
	require.NoError(t, err)
}

// If the outcome of the commit is unknown, the sweep finds out whether the files belong to
// a run.
func TestUploadWithUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, committed := range map[string]bool{"Committed": true, "NotCommitted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newUploads(t)
			u := w.begin()
			f := w.add(u, "a", "text")
			w.faultyStore.inTx = func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
				if committed {
					require.NoError(t, w.store.InTx(ctx, tenant, fn))
				}
				return ports.ErrCommitUnknown
			}
			_, err := w.run(u, "")
			require.ErrorIs(t, err, ports.ErrCommitUnknown)
			w.faultyStore.inTx = nil
			u.Discard(w.ctx)
			require.True(t, w.there(f))
			require.Len(t, w.left(), 1)
			w.clock.Advance(25 * time.Hour)
			require.NoError(t, w.svc.Sweep(w.ctx))
			require.Equal(t, committed, w.there(f))
			require.Empty(t, w.left())
		})
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	// Left by a kill: no run. Left after the commit: a run whose mark stayed.
	killed := w.begin()
	lost := w.add(killed, "a", "text")
	run := w.initiate(1)
	_, err := w.files.Begin(w.ctx, acme, run.ID, w.clock.Now())
	require.NoError(t, err)
	// A run of another tenant has this ID, which is impossible; in doubt nothing is removed.
	_, err = w.files.Begin(w.ctx, globex, run.ID, w.clock.Now())
	require.NoError(t, err)

	w.clock.Advance(24 * time.Hour)
	young := w.begin()
	kept := w.add(young, "b", "text")
	require.NoError(t, w.svc.Sweep(w.ctx))
	require.Len(t, w.left(), 4, "not before their time")
	w.clock.Advance(time.Second)
	w.away.away = true
	require.ErrorIs(t, w.svc.Sweep(w.ctx), ports.ErrUnavailable)
	require.True(t, w.there(lost), "nothing is removed while it is not known")
	w.away.away = false
	for range 2 {
		require.ErrorContains(t, w.svc.Sweep(w.ctx), "globex")
		require.False(t, w.there(lost))
		require.True(t, w.there(kept))
	}
	require.Equal(t, int64(1), w.svc.Stats().SweptUploads)
	require.ElementsMatch(t, []core.RunID{run.ID, "upload-3"}, w.left())

	// A very slow client cannot make a run of an upload that was swept.
	_, err = w.run(killed, "")
	require.Error(t, err)
}

func TestUploadQuota(t *testing.T) {
	t.Parallel()

	t.Run("Bytes", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t, func(o *app.Options) { o.MaxTenantUploadBytes = 30 })
		one, two := w.begin(), w.begin()
		w.add(one, "a", strings.Repeat("x", 20))
		f := w.add(two, "a", strings.Repeat("x", 5))
		_, err := two.Add(w.ctx, "b", strings.NewReader(strings.Repeat("x", 6)))
		require.ErrorIs(t, err, core.ErrUploadQuotaExceeded)
		_, err = w.run(two, "")
		require.ErrorIs(t, err, core.ErrUploadQuotaExceeded)
		require.False(t, w.there(f))
		// Uploads that became a run or were removed no longer count.
		_, err = w.run(one, "")
		require.NoError(t, err)
		three := w.begin()
		w.add(three, "a", strings.Repeat("x", 20))
		w.add(three, "b", strings.Repeat("x", 10))
	})

	t.Run("Uploads", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t, func(o *app.Options) { o.MaxTenantUploads = 3 })
		_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: template, Tenant: globex, Name: "T", Mode: core.ModePerFile})
		require.NoError(t, err)
		_, err = w.svc.PublishTemplate(w.ctx, platform, globex, template)
		require.NoError(t, err)
		var together sync.WaitGroup
		begun := make(chan *app.Upload, 20)
		for range cap(begun) {
			together.Go(func() {
				u, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
				if err == nil {
					begun <- u
				} else if !errors.Is(err, core.ErrUploadQuotaExceeded) {
					t.Error(err)
				}
			})
		}
		together.Wait()
		require.Len(t, begun, 3)
		_, err = w.svc.BeginUpload(w.ctx, stranger, app.UploadRequest{Tenant: globex, Template: template})
		require.NoError(t, err, "another tenant is not affected")
		u := <-begun
		u.Discard(w.ctx)
		u.Discard(w.ctx) // counts once
		w.begin()
		_, err = w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
		require.ErrorIs(t, err, core.ErrUploadQuotaExceeded)
	})
}

// Two databases may have one folder, after a move that left the contents where they are: a
// server removes no upload that may have become a run of the other's.
func TestSweepLeavesUploadsOfTenantsElsewhere(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	u := w.begin()
	f := w.add(u, "a", "text")
	_, err := w.files.Begin(w.ctx, "never-here", "upload-9", w.clock.Now())
	require.NoError(t, err)
	w.clock.Advance(25 * time.Hour)
	move := ports.Move{}
	for _, state := range []ports.MoveState{ports.MoveLeaving, ports.MoveGone, ports.MoveExpected, ports.MoveArriving, ports.MoveAbandoned} {
		is := ports.Move{ID: "move", State: state}
		require.NoError(t, w.store.SetMove(w.ctx, acme, move, is))
		require.NoError(t, w.svc.Sweep(w.ctx))
		require.True(t, w.there(f), state)
		require.Len(t, w.left(), 2, state)
		move = is
	}
	require.NoError(t, w.store.SetMove(w.ctx, acme, move, ports.Move{ID: "move", State: ports.MoveArrived}))
	require.NoError(t, w.svc.Sweep(w.ctx))
	require.False(t, w.there(f))
	require.Equal(t, []core.RunID{"upload-9"}, w.left())
}
