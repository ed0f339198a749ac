package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// With go test -args. The defaults are the short version.
var (
	seed        = flag.Uint64("seed", 0, "what the users and the provider do and who is killed; 0: one is made up")
	runs        = flag.Int("runs", 16, "runs that users start")
	files       = flag.Int("files", 8, "files of each")
	servers     = flag.Int("servers", 3, "server processes")
	killEvery   = flag.Duration("kill-every", 500*time.Millisecond, "how often one of them is killed")
	refuseEvery = flag.Int("refuse-every", 10, "of how many enqueues one is refused while there are faults")
	faults      = flag.Duration("faults", 6*time.Second, "how long there are faults and users, at most")
	settle      = flag.Duration("settle", 40*time.Second, "how long everything may take to close when the faults have stopped")
	within      = flag.Duration("within", 5*time.Minute, "bound of everything; the time of faults is cut short for it")
	workers     = flag.Int("workers", 4, "jobs that a server executes at once")
	flags       = flag.String("server-flags", "", "further flags of the servers, separated by spaces; {database} is the database's URL")
	variables   = flag.String("server-env", "", "further variables of the servers' environment, the same way")
)

// recovery has shorter intervals than the defaults, so that the test need not wait long.
var recovery = []string{
	"--lease=2s", "--recover-every=500ms", "--dispatch-grace=2s", "--redispatch-after=2s", "--redeliveries=3", "--db-max-conns=10",
	"--breaker-open-for=1s",
}

// auditTime is the part of -within that is reserved for checking the database.
const auditTime = 30 * time.Second

// checkEvery is how often the invariants are checked while there are faults.
const checkEvery = 5 * time.Second

func TestChaos(t *testing.T) {
	g := begin(t)
	database := pgtest.New(t).URL
	pool, err := postgres.Connect(t.Context(), postgres.Config{URL: database})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, postgres.Config{})
	require.NoError(t, err)
	setUp(t, store, *runs, *files)
	installAudit(t, pool)
	refuseEnqueues(t, pool, *refuseEvery)
	g.start(t, *servers, database)

	ctx, cancel, happened := g.play(t, books{
		look: func(ctx context.Context) ([]string, error) { return storetest.Violations(ctx, store, tenants...) },
		running: func(ctx context.Context) (left int, err error) {
			err = pool.QueryRow(ctx, `SELECT count(*) FROM runs WHERE status = 'RUNNING'`).Scan(&left)
			return left, err
		},
		calm: func() int { return acceptEnqueues(t, pool) },
	})
	defer cancel()
	stillRunning := awaitClosed(ctx, t, g.running)
	happened.settled = time.Since(happened.stopped)
	g.judge(t, pool, store, happened, stillRunning)
	if *flags == "" && *variables == "" { // else the queue may be another
		require.Positive(t, happened.refused, "no enqueue was refused, so the test showed nothing of them")
	}
}

// game is the servers, their users and their provider.
type game struct {
	began   time.Time
	folder  string
	program binary
	cluster cluster
	asked   *provider
	people  *users
	wrong   []string // as it went on
	running func(context.Context) (int, error)
}

// books are how a database is looked at while servers work on it.
type books struct {
	look    func(context.Context) (violations []string, err error)
	running func(context.Context) (runs int, err error)
	calm    func() (refused int) // ends the faults of the database
}

// begin makes the folder of what the servers write.
func begin(t *testing.T) *game {
	t.Helper()
	if *seed == 0 {
		*seed = rand.Uint64N(1_000_000)
	}
	folder, err := os.MkdirTemp("", "redrive-chaos-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; what the servers wrote is in %s", *seed, folder)
			return
		}
		require.NoError(t, os.RemoveAll(folder))
	})
	return &game{began: time.Now(), folder: folder}
}

// start starts the servers, their provider and their users.
func (g *game) start(t *testing.T, servers int, database string) {
	t.Helper()
	g.asked = newProvider(*seed)
	llm := fakellm.New(g.asked.decide)
	base, err := llm.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, llm.Close()) })

	fill := strings.NewReplacer("{database}", database)
	env := environment(append(strings.Fields(fill.Replace(*variables)),
		"DATABASE_URL="+database, "REDRIVE_JWT_SECRET="+secret, "REDRIVE_FILES="+filepath.Join(g.folder, "files"), "REDRIVE_MIGRATE=false",
		"LLM_BASE_URL="+base, "LLM_MODEL=fake", "LLM_TIMEOUT=10s", "REDRIVE_LOG_LEVEL=debug")...)
	g.program = binary{path: build(t, g.folder), env: env, logs: g.folder}
	arguments := append(slices.Clone(recovery), fmt.Sprintf("--workers=%d", *workers))
	g.cluster = newCluster(t, servers, g.program, append(arguments, strings.Fields(fill.Replace(*flags))...))
	require.NoError(t, g.cluster.ready(t.Context()))
	g.people = newUsers(t, g.cluster, *seed, *files)
}

// play lets users and faults go on. What is given ends when everything has to be closed.
func (g *game) play(t *testing.T, b books) (ctx context.Context, cancel context.CancelFunc, happened events) {
	t.Helper()
	// If building the server took long, there is less time for faults.
	faulty := min(*faults, *within-auditTime-*settle-time.Since(g.began))
	require.Positive(t, faulty, "no time is left for faults after %v", time.Since(g.began))
	ctx, cancel = context.WithTimeout(t.Context(), faulty+*settle)
	g.running = b.running
	happened, g.wrong = play(ctx, faulty, t, g.cluster, g.people, b)
	return ctx, cancel, happened
}

// judge compares everything when everything is closed. The servers' own check comes first.
func (g *game) judge(t *testing.T, pool *pgxpool.Pool, store *postgres.Store, happened events, stillRunning int) {
	t.Helper()
	wrong := g.wrong
	check := exec.Command(g.program.path, "ledger", "check")
	check.Env = g.program.env
	books, err := check.CombinedOutput()
	if err != nil {
		wrong = append(wrong, fmt.Sprintf("redrive ledger check: %v\n%s", err, books))
	}
	found, err := audit(t.Context(), pool)
	require.NoError(t, err)
	wrong = append(wrong, found...)
	found, err = g.people.compare(t.Context(), pool)
	require.NoError(t, err)
	wrong = append(wrong, found...)
	found, err = storetest.Violations(t.Context(), store, tenants...)
	require.NoError(t, err)
	wrong = append(wrong, found...)
	executed, found, err := g.asked.executions(t.Context(), pool)
	require.NoError(t, err)
	wrong = append(wrong, found...)

	happened.report(t, g.people, pool, executed, books)
	t.Logf("%d things are wrong; %v in all", len(wrong), time.Since(g.began).Round(time.Millisecond))
	const most = 30
	for _, w := range wrong[:min(most, len(wrong))] {
		t.Error(w)
	}
	require.Empty(t, len(wrong)-min(most, len(wrong)), "and more")
	require.Zero(t, stillRunning, "I11: runs that did not close within %v after the faults stopped", *settle)
	require.Equal(t, *runs, len(g.people.runs), "not all users got a run")
	require.Positive(t, happened.kills, "no server was killed, so the test showed nothing")
}

// events are what happened.
type events struct {
	kills   int
	refused int // enqueues
	looks   int
	faulty  time.Duration // how long there were faults
	stopped time.Time     // when the last of them was over
	settled time.Duration // how long it then took to close everything
}

// play lets users and faults go on until few users have work left or the time of faults is
// over. It checks the invariants now and then.
func play(ctx context.Context, faulty time.Duration, t *testing.T, running cluster, people *users, b books) (e events, wrong []string) {
	t.Helper()
	began := time.Now()
	busy, calm := context.WithTimeout(ctx, faulty)
	defer calm()
	killed := make(chan error, 1)
	go func() {
		var err error
		e.kills, err = running.torment(busy, *killEvery, rand.New(rand.NewPCG(*seed, 1)))
		e.stopped = time.Now()
		killed <- err
	}()
	looked := make(chan error, 1)
	go func() {
		for sleep(busy, checkEvery) == nil {
			found, err := b.look(ctx)
			if err != nil {
				looked <- err
				return
			}
			e.looks++
			for _, w := range found {
				wrong = append(wrong, fmt.Sprintf("after %v: %s", time.Since(began).Round(time.Millisecond), w))
			}
		}
		looked <- nil
	}()
	people.work(busy, ctx, calm, *runs)
	calm()
	e.refused = b.calm()
	require.NoError(t, <-killed)
	require.NoError(t, <-looked)
	e.faulty = e.stopped.Sub(began)
	require.NoError(t, running.ready(ctx))
	require.NoError(t, running.failures())
	return e, wrong
}

// awaitClosed waits until no run is running, and gives the number of running ones when ctx
// ends.
func awaitClosed(ctx context.Context, t *testing.T, running func(context.Context) (int, error)) int {
	t.Helper()
	for {
		left, err := running(t.Context())
		require.NoError(t, err)
		if left == 0 || sleep(ctx, 50*time.Millisecond) != nil {
			return left
		}
	}
}

func (e events) report(t *testing.T, people *users, pool *pgxpool.Pool, x executions, books []byte) {
	t.Helper()
	lines, err := texts(t.Context(), pool, `
SELECT format('runs: %s', string_agg(format('%s %s', n, status), ', ' ORDER BY status)) FROM (SELECT count(*) n, status FROM runs GROUP BY status) x
UNION ALL
SELECT format('files: %s', string_agg(format('%s %s', n, status), ', ' ORDER BY status)) FROM (SELECT count(*) n, status FROM files GROUP BY status) x
UNION ALL
SELECT format('results recorded: %s, most for a file: %s; claims given up to another worker: %s',
       sum(n), max(n), (SELECT count(*) FROM chaos_files WHERE was = 'processing' AND became = 'pending'))
  FROM (SELECT count(*) n FROM chaos_files WHERE `+isResult+` GROUP BY tenant_id, run_id, index) x
UNION ALL
SELECT format('credits: %s charged, %s refunded; attempts: %s, of them undone: %s',
       coalesce(sum(monthly + purchased) FILTER (WHERE kind = 'charge'), 0), coalesce(sum(monthly + purchased) FILTER (WHERE kind = 'refund'), 0),
       (SELECT count(*) FROM attempts), (SELECT count(*) FROM attempts WHERE compensated_at IS NOT NULL)) FROM ledger`)
	require.NoError(t, err)
	c := people.counts
	t.Logf(`seed %d: %d runs × %d files, %d servers, a kill every %v
faults: %d kills and %d refused enqueues in %v; then everything closed in %v; invariants looked at %d times meanwhile
users: %d requests, of them %d repeats for want of an answer and %d after one; %d runs started, %d Continues accepted, %d lost to another, %d refused, %d cancels; %d unavailable, %d unknown outcomes
%s
provider: %d requests for %d (file, epoch), %d of them asked for more than once; %d results given, %d of them for nothing, %d given twice
ledger check:
%s`,
		*seed, *runs, *files, len(people.cluster), *killEvery,
		e.kills, e.refused, e.faulty.Round(time.Millisecond), e.settled.Round(time.Millisecond), e.looks,
		c.requests.Load(), c.repeats.Load(), c.again.Load(), c.initiated.Load(), c.continued.Load(), c.lost.Load(), c.refused.Load(), c.cancelled.Load(), c.unavailable.Load(), c.outcomeUnknown.Load(),
		strings.Join(lines, "\n"),
		x.requests, x.epochs, x.repeated, x.completed, x.thrown, x.twice, books)
}
