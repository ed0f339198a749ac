package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/install"
)

// Who may use a route, of the tenant that owns its resource; a platform admin may always.
const (
	anybody   = "everyone, signed in or not"
	everyRole = "every role"
	admins    = "admins"
	operators = "platform admins"
)

// matrixRow says who may use a route, in words of its own, apart from core.Authorize.
type matrixRow struct {
	may string
	// body is what a caller that may sends; it must be valid, so that without the door
	// the request reaches the use case. It may be a function of the tenant's fixture.
	body any
	// set gives parameters of the path other than those in fixture.
	set map[string]string
	// tenantless: the route takes no tenant, so that a caller's own counts.
	tenantless bool
	// once: what it removes is not there for the next caller.
	once bool
}

// matrix has a row for every route.
var matrix = map[string]matrixRow{
	"POST /workflow-runs":                         {may: everyRole, body: inline("summarise", "m")},
	"GET /workflow-runs":                          {may: everyRole},
	"GET /workflow-runs/:id":                      {may: everyRole},
	"PATCH /workflow-runs/:id":                    {may: operators, body: map[string]any{"maxRetryCount": 9}},
	"GET /workflow-runs/:id/files":                {may: everyRole},
	"GET /workflow-runs/:id/files/:index/output":  {may: everyRole},
	"GET /workflow-runs/:id/files/:index/content": {may: everyRole},
	"GET /workflow-runs/:id/outputs":              {may: everyRole},
	"GET /workflow-runs/:id/retry-failed":         {may: admins},
	"POST /workflow-runs/:id/retry-failed":        {may: admins},
	"POST /workflow-runs/:id/cancel":              {may: admins},
	"GET /workflow-runs/:id/receipt":              {may: everyRole},
	"GET /workflow-runs/:id/events":               {may: everyRole},

	"GET /events":         {may: everyRole},
	"POST /event-tickets": {may: everyRole, tenantless: true},

	"GET /balance":                 {may: everyRole},
	"POST /tenants/:id/allowances": {may: operators, body: map[string]any{"period": "2026-11", "amount": 1}},
	"POST /tenants/:id/purchases":  {may: operators, body: map[string]any{"amount": 1}},
	"GET /tenants/:id/ledger":      {may: everyRole},

	"GET /templates":              {may: everyRole},
	"POST /templates":             {may: operators, body: map[string]any{"name": "M", "instructions": "Do.", "creditsPerRun": 1, "mode": "per_file"}},
	"GET /templates/:id":          {may: everyRole},
	"GET /templates/:id/versions": {may: everyRole},
	"PATCH /templates/:id":        {may: operators, body: map[string]any{"name": "N"}},
	"DELETE /templates/:id":       {may: operators},
	"POST /templates/:id/publish": {may: operators},

	"GET /tenants":     {may: operators, tenantless: true},
	"POST /tenants":    {may: operators, tenantless: true, body: map[string]any{"id": "initech", "name": "Initech"}},
	"GET /tenants/:id": {may: everyRole},

	"GET /bulk-continues":             {may: everyRole},
	"POST /bulk-continues":            {may: admins, body: map[string]any{}},
	"POST /bulk-continues/preview":    {may: admins, body: map[string]any{}},
	"GET /bulk-continues/:id":         {may: everyRole},
	"GET /bulk-continues/:id/runs":    {may: everyRole},
	"POST /bulk-continues/:id/pause":  {may: admins},
	"POST /bulk-continues/:id/resume": {may: admins},
	"POST /bulk-continues/:id/abort":  {may: admins},

	"GET /api-keys":             {may: admins},
	"POST /api-keys":            {may: admins, body: map[string]any{"name": "K", "role": "customer_user"}},
	"PATCH /api-keys/:id":       {may: admins, body: map[string]any{"name": "L"}},
	"DELETE /api-keys/:id":      {may: admins},
	"PATCH /tenants/:id":        {may: operators, body: map[string]any{"name": "N"}},
	"POST /tenants/:id/suspend": {may: operators, body: map[string]any{"reason": "unpaid"}},
	"POST /tenants/:id/reopen":  {may: operators},

	"POST /tenants/:id/refunds": {may: operators, body: func(fixture map[string]string) any {
		return map[string]any{"charge": "charge/" + fixture["run"] + "/0", "reason": "r"}
	}},

	"GET /tenants/:id/statements/:period": {may: everyRole, set: map[string]string{":period": "2026-11"}},

	"GET /audit-log":                                          {may: admins},
	"GET /webhook-endpoints":                                  {may: admins},
	"POST /webhook-endpoints":                                 {may: admins, body: map[string]any{"url": "https://example.com/m", "events": []string{"run.closed"}}},
	"GET /webhook-endpoints/:id":                              {may: admins},
	"PATCH /webhook-endpoints/:id":                            {may: admins, body: map[string]any{"description": "M"}},
	"DELETE /webhook-endpoints/:id":                           {may: admins, once: true},
	"POST /webhook-endpoints/:id/rotate-secret":               {may: admins},
	"POST /webhook-endpoints/:id/ping":                        {may: admins},
	"GET /webhook-endpoints/:id/deliveries":                   {may: admins},
	"GET /webhook-endpoints/:id/deliveries/:event":            {may: admins},
	"POST /webhook-endpoints/:id/deliveries/:event/redeliver": {may: admins},
	"GET /low-credits":                                        {may: admins},
	"PATCH /low-credits":                                      {may: admins, body: map[string]any{"threshold": 5}},

	"GET /healthz":      {may: anybody, tenantless: true},
	"GET /readyz":       {may: anybody, tenantless: true},
	"GET /openapi.json": {may: anybody, tenantless: true},
	"GET /openapi.yaml": {may: anybody, tenantless: true},

	"GET /problems":       {may: anybody, tenantless: true},
	"GET /problems/:code": {may: anybody, tenantless: true, set: map[string]string{":code": "internal"}},
}

// cell is one request of the matrix: a caller of acme's, or of nobody's.
type cell struct {
	route, role, tenant string
	token, path         string
	row                 matrixRow
}

// The whole matrix of routes, roles and tenants, at the door and, with the door open, at
// the use cases, which also have other callers: both give the same refusals.
func TestEveryRouteRoleAndTenant(t *testing.T) {
	t.Parallel()
	routes := httpapi.RouteTable()
	for _, r := range routes {
		require.Contains(t, matrix, r, "a route has no row in the matrix: who may use it?")
	}
	require.Len(t, matrix, len(routes), "the matrix has a row for a route that there is not")

	for name, unguarded := range map[string]bool{"AtTheDoor": false, "AtTheUseCases": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newMatrixWorld(t, unguarded)
			cells := w.cells(routes)
			require.Len(t, cells, len(routes)*4*3)
			t.Logf("%d cells: %d routes × 4 callers × 3 tenants", len(cells), len(routes))
			for _, c := range cells {
				w.look(c)
			}
		})
	}
}

// matrixWorld is a world in which each tenant has what routes are about.
type matrixWorld struct {
	*world
	fixtures map[string]map[string]string // by tenant: its parameters of paths
	tokens   map[string]string            // by role
	asked    int
}

// matrixRoles are the callers: two of acme's, the platform's, and one without a token.
var matrixRoles = []string{"customer_user", "customer_admin", "bubble_admin", "nobody"}

func newMatrixWorld(t *testing.T, unguarded bool) *matrixWorld {
	t.Helper()
	w := &matrixWorld{world: newWorld(t, func(o *options) { o.api.Tickets = memory.NewStore().Tickets() })}
	install.Template(t, w.svc, globex, core.Template{ID: "summarise", Name: "S", Instructions: "Do it.", CreditsPerRun: 1, Mode: core.ModePerFile})
	w.script.set("fail-theirs", core.OutcomeTransient)
	theirs := w.post(w.stranger, "/workflow-runs", inline("summarise", "done", "fail-theirs"))
	require.Equal(t, http.StatusCreated, theirs.status, theirs.text())
	ours := w.closed("done", "fail-this")
	w.closed("fail-bulk") // for bulk continues
	require.Equal(t, http.StatusCreated, w.post(w.stranger, "/workflow-runs", inline("summarise", "fail-bulk")).status)
	w.work()
	bulk := func(token string) string {
		made := w.post(token, "/bulk-continues", map[string]any{})
		require.Equal(t, http.StatusCreated, made.status, made.text())
		return made.str("id")
	}
	w.script.heal()
	ownHook, ownEvent := w.webhook(acme)
	theirHook, theirEvent := w.webhook(globex)
	keys := map[core.TenantID]string{}
	for _, tenant := range []core.TenantID{acme, globex} {
		k, _, err := w.svc.MakeAPIKey(t.Context(), core.System, core.APIKeyRequest{Tenant: tenant, Name: "fixture", Role: core.RoleCustomerUser})
		require.NoError(t, err)
		keys[tenant] = string(k.ID)
	}
	w.fixtures = map[string]map[string]string{
		"own":     {"bulk": bulk(w.admin), "run": ours, "template": "summarise", "tenant": string(acme), "apiKey": keys[acme], "endpoint": ownHook, "event": ownEvent},
		"other":   {"bulk": bulk(w.stranger), "run": theirs.str("id"), "template": "summarise", "tenant": string(globex), "apiKey": keys[globex], "endpoint": theirHook, "event": theirEvent},
		"unknown": {"bulk": "no-such-bulk", "run": "no-such-run", "template": "summarise", "tenant": "no-such-tenant", "apiKey": "no-such-key", "endpoint": "no-such-endpoint", "event": "no-such-event"},
	}
	w.tokens = map[string]string{"customer_user": w.user, "customer_admin": w.admin, "bubble_admin": w.platform, "nobody": ""}
	if unguarded {
		w.server.Close()
		w.server = httptest.NewServer(httpapi.Unguarded(w.svc, httpapi.Config{Auth: w.auth, Tickets: memory.NewStore().Tickets(), Log: slog.New(slog.DiscardHandler)}))
		w.client = w.server.Client()
		t.Cleanup(w.server.Close)
	}
	return w
}

// webhook makes an endpoint of a tenant, with an event.
func (w *matrixWorld) webhook(tenant core.TenantID) (endpoint, event string) {
	w.t.Helper()
	e, err := w.svc.CreateWebhookEndpoint(w.t.Context(), core.System, tenant, core.WebhookSpec{URL: "https://example.com", Types: core.WebhookEventTypes()})
	require.NoError(w.t, err)
	d, err := w.svc.PingWebhookEndpoint(w.t.Context(), core.System, tenant, e.ID)
	require.NoError(w.t, err)
	return string(e.ID), string(d.Event.ID)
}

// cells are all of them. A caller that may is asked last, so that what it changes
// disturbs no refusal.
func (w *matrixWorld) cells(routes []string) []cell {
	var cells []cell
	for _, r := range routes {
		for _, role := range matrixRoles {
			for _, tenant := range []string{"own", "other", "unknown"} {
				c := cell{route: r, role: role, tenant: tenant, token: w.tokens[role], row: matrix[r]}
				c.path = w.path(c)
				cells = append(cells, c)
			}
		}
	}
	slices.SortStableFunc(cells, func(a, b cell) int {
		return strings.Compare(rank(a), rank(b))
	})
	return cells
}

// rank puts refusals first and what deletes last.
func rank(c cell) string {
	switch {
	case c.row.refusal(c.role, c.tenant) != "":
		return "a"
	case strings.HasPrefix(c.route, http.MethodDelete):
		return "c"
	default:
		return "b"
	}
}

// path is the address of the cell's resource.
func (w *matrixWorld) path(c cell) string {
	_, path, _ := strings.Cut(c.route, " ")
	f := w.fixtures[c.tenant]
	kind := "template"
	switch {
	case strings.HasPrefix(path, "/workflow-runs/:id"):
		kind = "run"
	case strings.HasPrefix(path, "/bulk-continues/:id"):
		kind = "bulk"
	case strings.HasPrefix(path, "/tenants/:id"):
		kind = "tenant"
	case strings.HasPrefix(path, "/api-keys/:id"):
		kind = "apiKey"
	case strings.HasPrefix(path, "/webhook-endpoints"):
		kind = "endpoint"
		path = strings.ReplaceAll(path, ":event", f["event"])
	}
	for name, value := range c.row.set {
		path = strings.ReplaceAll(path, name, value)
	}
	path = strings.ReplaceAll(strings.ReplaceAll(path, ":id", f[kind]), ":index", "0")
	if (kind == "template" || kind == "apiKey" || kind == "endpoint") && !c.row.tenantless {
		path += "?tenant=" + f["tenant"]
	}
	return path
}

// refusal is the code that a caller gets by the row; empty if it may. Whether a tenant
// exists is not for the customers of another to know; a run's ID is nobody's secret.
func (row matrixRow) refusal(role, tenant string) string {
	switch {
	case row.may == anybody:
		return ""
	case role == "nobody":
		return "unauthenticated"
	case role == "bubble_admin":
		return ""
	case tenant != "own" && !row.tenantless:
		return "wrong_tenant"
	case row.may == everyRole, row.may == admins && role == "customer_admin":
		return ""
	default:
		return "role_not_allowed"
	}
}

// want is the code of the refusal that a cell gets; empty if none.
func (c cell) want() string {
	refusal := c.row.refusal(c.role, c.tenant)
	if refusal != "unauthenticated" && c.tenant == "unknown" && strings.Contains(c.route, " /workflow-runs/:id") {
		return "run_not_found"
	}
	if refusal != "unauthenticated" && c.tenant == "unknown" && strings.Contains(c.route, " /bulk-continues/:id") {
		return "bulk_not_found"
	}
	return refusal
}

// look sends a cell's request and compares.
func (w *matrixWorld) look(c cell) {
	w.t.Helper()
	what := c.role + " of acme, " + c.route + " of the " + c.tenant + " tenant"
	want, method := c.want(), c.route[:strings.Index(c.route, " ")]
	if want == "" && c.tenant != "unknown" && strings.HasSuffix(c.route, "/events") {
		w.streams(c, what)
		return
	}
	w.asked++
	body := c.row.body
	if of, depends := body.(func(fixture map[string]string) any); depends {
		body = of(w.fixtures[c.tenant])
	}
	got := w.write(method, c.token, c.path, body, key("matrix-"+strconv.Itoa(w.asked)))
	switch {
	case want != "":
		require.Equal(w.t, want, got.str("code"), "%s: %s", what, got.text())
	case c.row.once && c.role == "bubble_admin" && c.tenant == "own": // the customer_admin was before
		require.Equal(w.t, http.StatusNotFound, got.status, "%s: %s", what, got.text())
	case c.tenant == "unknown" && !c.row.tenantless:
		require.Equal(w.t, http.StatusNotFound, got.status, "%s: %s", what, got.text())
	default:
		require.NotContains(w.t, []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, got.status, "%s: %s", what, got.text())
		require.Less(w.t, got.status, http.StatusInternalServerError, "%s: %s", what, got.text())
	}
}

// streams looks at a cell whose answer goes on until its client leaves.
func (w *matrixWorld) streams(c cell, what string) {
	w.t.Helper()
	ctx, leave := context.WithCancel(w.t.Context())
	defer leave()
	resp, err := w.client.Do(w.request(call{method: http.MethodGet, path: c.path, token: c.token}).WithContext(ctx))
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode, what)
	leave()
	require.NoError(w.t, resp.Body.Close())
}

// A route that does not say who may use it is not served.
func TestARouteWithoutAPermissionDoesNotStart(t *testing.T) {
	t.Parallel()
	for _, bad := range [][2]string{{"", ""}, {"read", ""}, {"", "run"}, {"", "query"}, {"delete_everything", "platform"}, {"read", "public"}, {"read", "somebody"}} {
		require.Panics(t, func() { httpapi.ServeRoute(core.Action(bad[0]), bad[1]) }, "%q", bad)
	}
	require.NotPanics(t, func() { httpapi.ServeRoute(core.ActionRead, "run") })
	require.NotPanics(t, func() { httpapi.ServeRoute("", "public") })
}
