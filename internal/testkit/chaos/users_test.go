package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

const (
	secret    = "a secret of the tests that is long enough"
	perFile   = core.TemplateID("per-file")
	batch     = core.TemplateID("batch")
	price     = 3
	allowance = 1000 // of the month; what it does not cover was purchased

	// atOnce is how many journeys are played at the same time.
	atOnce = 40
	// batchRuns is one in how many runs is of one job with all files.
	batchRuns = 10
	// cancels and doubles are in hundredths: of the reads of a running run after which the
	// user cancels it, and of the Continues that two users send at the same moment.
	cancels = 3
	doubles = 25
)

var tenants = []core.TenantID{"acme", "bolt", "cord", "dune"}

func tenantOf(n int) core.TenantID { return tenants[n%len(tenants)] }

// setUp gives the tenants their credits and templates.
func setUp(t *testing.T, store ports.Store, runs, files int) {
	t.Helper()
	svc := install.Service(t, app.Deps{Store: store}, app.Options{})
	for _, id := range tenants {
		install.Make(t, svc, install.Tenant{
			ID: id, Allowance: allowance, Purchased: core.Credits(price * runs * files * (1 + core.MaxMaxRetryCount)),
			Templates: []core.Template{
				{ID: perFile, Instructions: "Summarise.", CreditsPerRun: price},
				{ID: batch, Instructions: "Summarise.", CreditsPerRun: price, Mode: core.ModeBatch},
			},
		})
	}
	require.NoError(t, svc.Refill(t.Context()))
}

// users are the users of the servers, and the answers that they got.
type users struct {
	cluster cluster
	clients map[core.TenantID]*client
	seed    uint64
	files   int
	counts  *counts

	mu    sync.Mutex
	runs  map[string]int // the number of the journey of each run ID
	won   map[attempt]string
	undon int      // Continues that were answered with enqueue_failed
	wrong []string // wrong answers
}

// attempt is a Continue that was accepted; two requests must never get the same one.
type attempt struct {
	run    string
	number int
}

func newUsers(t *testing.T, c cluster, seed uint64, files int) *users {
	t.Helper()
	auth, err := httpapi.NewAuth([]byte(secret))
	require.NoError(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	t.Cleanup(transport.CloseIdleConnections)
	u := &users{
		cluster: c, seed: seed, files: files, counts: &counts{},
		clients: map[core.TenantID]*client{}, runs: map[string]int{}, won: map[attempt]string{},
	}
	for _, id := range tenants {
		token, err := auth.Token(core.Actor{Subject: "user", Tenant: id, Role: core.RoleCustomerAdmin}, time.Hour)
		require.NoError(t, err)
		u.clients[id] = &client{cluster: c, http: &http.Client{Transport: transport}, token: token, counts: u.counts}
	}
	return u
}

func (u *users) complain(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wrong = append(u.wrong, fmt.Sprintf("users: "+format, args...))
}

// work plays all journeys, several at once. Users start nothing new once busy is done. It
// is done when few journeys are left, so that the faults stop in the middle of work. ctx
// ends everything.
func (u *users) work(busy, ctx context.Context, calm context.CancelFunc, runs int) {
	var wait sync.WaitGroup
	var over atomic.Int64
	places := make(chan struct{}, atOnce)
	few := max(2, runs/8)
	for n := range runs {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			if err := u.journey(busy, ctx, n); err != nil {
				u.complain("run %d: %v", n, err)
			}
			if over.Add(1) == int64(runs-few) {
				calm()
			}
		})
	}
	wait.Wait()
}

func fileName(n, i int) string { return fmt.Sprintf("run-%d-file-%d.txt", n, i) }
func fileText(n, i int) string { return fmt.Sprintf("This is file %d of run %d.\n", i, n) }

// outputOf is the provider's output for a file.
func outputOf(n, i int) string { return fakellm.Summary(fileName(n, i), fileText(n, i)) }

// journey is one run from its start until there is nothing to continue.
func (u *users) journey(busy, ctx context.Context, n int) error {
	r := rand.New(rand.NewPCG(u.seed, uint64(n)))
	c := u.clients[tenantOf(n)]
	id, err := u.initiate(ctx, c, r, n)
	if err != nil {
		return err
	}
	for continues, completed := 0, 0; ; {
		_ = sleep(busy, time.Duration(30+r.IntN(300))*time.Millisecond)
		if busy.Err() != nil {
			return nil //nolint:nilerr // busy is done, which is no failure: the servers finish the rest
		}
		a, err := c.do(ctx, r, http.MethodGet, "/workflow-runs/"+id, "", nil)
		switch {
		case err != nil:
			return err
		case a.status != http.StatusOK:
			return fmt.Errorf("read: %d %s: %s", a.status, a.Code, a.Detail)
		case a.FileCounts.Completed < completed:
			return fmt.Errorf("%d files were completed, and then %d", completed, a.FileCounts.Completed)
		}
		completed = a.FileCounts.Completed
		switch {
		case !a.closed() && r.IntN(100) < cancels:
			if err := u.cancel(ctx, c, r, id); err != nil {
				return err
			}
			if r.IntN(2) == 0 { // while old jobs still wait in the queue
				continues++
				if err := u.retryFailed(ctx, c, r, id, fmt.Sprintf("continue-%d-%d", n, continues)); err != nil {
					return err
				}
			}
		case !a.closed():
		case a.Continuable.OK:
			continues++
			if err := u.retryFailed(ctx, c, r, id, fmt.Sprintf("continue-%d-%d", n, continues)); err != nil {
				return err
			}
		default:
			switch core.Code(a.Continuable.Code) {
			case core.CodeNoErrorsToRetry, core.CodeNothingToRetry, core.CodeMaxRetryCountExceeded:
				return nil
			default:
				return fmt.Errorf("%s and not continuable: %s", a.Status, a.Continuable.Code)
			}
		}
	}
}

func (u *users) initiate(ctx context.Context, c *client, r *rand.Rand, n int) (id string, err error) {
	type file struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	body := struct {
		Template      core.TemplateID `json:"template"`
		MaxRetryCount int             `json:"maxRetryCount"`
		Files         []file          `json:"files"`
	}{perFile, core.MaxMaxRetryCount, make([]file, u.files)}
	if n%batchRuns == batchRuns-1 {
		body.Template = batch
	}
	for i := range body.Files {
		body.Files[i] = file{fileName(n, i), fileText(n, i)}
	}
	a, err := c.doTwice(ctx, r, http.MethodPost, "/workflow-runs", fmt.Sprintf("initiate-%d", n), body)
	switch {
	case err != nil:
		return "", err
	case a.Code == string(core.CodeEnqueueFailed):
		id = a.Run
	case a.status == http.StatusCreated || a.status == http.StatusOK:
		id = a.ID
	default:
		return "", fmt.Errorf("initiate: %d %s: %s", a.status, a.Code, a.Detail)
	}
	u.counts.initiated.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	if other, twice := u.runs[id]; twice {
		return "", fmt.Errorf("got %s, which is run %d", id, other)
	}
	u.runs[id] = n
	return id, nil
}

// cancel has no idempotency key: a repeat is refused because the run is closed.
func (u *users) cancel(ctx context.Context, c *client, r *rand.Rand, id string) error {
	a, err := c.do(ctx, r, http.MethodPost, "/workflow-runs/"+id+"/cancel", "", nil)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusOK:
		u.counts.cancelled.Add(1)
	case a.Code != string(core.CodeRunNotRunning):
		return fmt.Errorf("cancel: %d %s: %s", a.status, a.Code, a.Detail)
	}
	return nil
}

// retryFailed is Continue, by one user or by two at the same moment.
func (u *users) retryFailed(ctx context.Context, c *client, r *rand.Rand, id, key string) error {
	if r.IntN(100) >= doubles {
		return u.retryOnce(ctx, c, r, id, key)
	}
	other := make(chan error, 1)
	second := rand.New(rand.NewPCG(r.Uint64(), 0))
	go func() { other <- u.retryOnce(ctx, c, second, id, key+"-too") }()
	err := u.retryOnce(ctx, c, r, id, key)
	if otherErr := <-other; err == nil {
		err = otherErr
	}
	return err
}

func (u *users) retryOnce(ctx context.Context, c *client, r *rand.Rand, id, key string) error {
	a, err := c.doTwice(ctx, r, http.MethodPost, "/workflow-runs/"+id+"/retry-failed", key, nil)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch core.Code(a.Code) {
	case core.CodeEnqueueFailed:
		u.undon++
		return nil
	case core.CodeRunAlreadyRunning:
		u.counts.lost.Add(1)
		return nil
	case core.CodeNoErrorsToRetry, core.CodeNothingToRetry, core.CodeMaxRetryCountExceeded:
		u.counts.refused.Add(1)
		return nil
	default:
		if a.status != http.StatusOK {
			return fmt.Errorf("continue: %d %s: %s", a.status, a.Code, a.Detail)
		}
	}
	u.counts.continued.Add(1)
	won := attempt{id, a.Attempt}
	if other, twice := u.won[won]; twice {
		return fmt.Errorf("I9: %s and %s both got the answer that they made attempt %d", other, key, a.Attempt)
	}
	u.won[won] = key
	return nil
}
