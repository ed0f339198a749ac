package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/uptrace/bunrouter"

	"github.com/redrive/redrive/core"
)

// handler answers a request or gives the error that says why not. It writes
// either an answer or nothing.
type handler func(w http.ResponseWriter, r *request) error

// route is one line of the table that the router, the Allow header, and the test
// of the OpenAPI document read.
type route struct {
	method  string
	pattern string
	handle  handler
	need    need  // who may use it
	maxBody int64 // bytes
	upload  bool  // its body may take its time
	page    bool  // for people alone: not in the OpenAPI document
	stream  bool  // its caller may come with a ticket
}

// allRoutes is every route of the API; each kind of resource has its own list.
func (a *api) allRoutes() []route {
	return slices.Concat(
		a.runRoutes(), a.resultRoutes(), a.creditRoutes(), a.templateRoutes(), a.tenantRoutes(), a.apiKeyRoutes(),
		a.administrationRoutes(), a.bulkRoutes(), a.statementRoutes(), a.auditRoutes(), a.eventRoutes(), a.webhookRoutes(), a.operationRoutes(), a.pageRoutes(),
	)
}

func (a *api) runRoutes() []route {
	return []route{
		{method: http.MethodPost, pattern: "/workflow-runs", need: onQuery(core.ActionInitiate), handle: a.initiate, maxBody: a.cfg.MaxUploadBytes, upload: true},
		get("/workflow-runs", onQuery(core.ActionRead), a.listRuns),
		get("/workflow-runs/:id", onRun(core.ActionRead), a.getRun),
		patch("/workflow-runs/:id", onRun(core.ActionRaiseMaxRetries), a.patchRun),
		get("/workflow-runs/:id/files", onRun(core.ActionRead), a.listFiles),
		get("/workflow-runs/:id/files/:index/output", onRun(core.ActionRead), a.getOutput),
		get("/workflow-runs/:id/retry-failed", onRun(core.ActionContinue), a.previewRetry),
		post("/workflow-runs/:id/retry-failed", onRun(core.ActionContinue), a.retryFailed),
		post("/workflow-runs/:id/cancel", onRun(core.ActionCancel), a.cancelRun),
		get("/workflow-runs/:id/receipt", onRun(core.ActionRead), a.getReceipt),
		streaming(get("/workflow-runs/:id/events", onRun(core.ActionRead), a.streamEvents)),
	}
}

func (a *api) creditRoutes() []route {
	return []route{
		get("/balance", onQuery(core.ActionRead), a.getBalance),
		post("/tenants/:id/allowances", onPath(core.ActionManageCredits), a.grantAllowance),
		post("/tenants/:id/purchases", onPath(core.ActionManageCredits), a.purchaseCredits),
		get("/tenants/:id/ledger", onPath(core.ActionRead), a.listLedger),
	}
}

func (a *api) templateRoutes() []route {
	return []route{
		get("/templates", onQuery(core.ActionRead), a.listTemplates),
		post("/templates", onQuery(core.ActionManageTemplates), a.createTemplate),
		get("/templates/:id", onQuery(core.ActionRead), a.getTemplate),
		get("/templates/:id/versions", onQuery(core.ActionRead), a.listTemplateVersions),
		patch("/templates/:id", onQuery(core.ActionManageTemplates), a.patchTemplate),
		remove("/templates/:id", onQuery(core.ActionManageTemplates), a.deleteTemplate),
		post("/templates/:id/publish", onQuery(core.ActionManageTemplates), a.publishTemplate),
	}
}

func (a *api) tenantRoutes() []route {
	return []route{
		get("/tenants", onPlatform(core.ActionInspectAnyTenant), a.listTenants),
		post("/tenants", onPlatform(core.ActionManageTenants), a.createTenant),
		get("/tenants/:id", onPath(core.ActionRead), a.getTenant),
	}
}

func (a *api) operationRoutes() []route {
	return []route{
		get("/healthz", anyone, a.healthz),
		get("/readyz", anyone, a.readyz),
		get("/openapi.json", anyone, a.openAPIJSON),
		get("/openapi.yaml", anyone, a.openAPIYAML),
	}
}

func get(pattern string, n need, h handler) route { return routeOf(http.MethodGet, pattern, n, h) }

func post(pattern string, n need, h handler) route { return routeOf(http.MethodPost, pattern, n, h) }

func patch(pattern string, n need, h handler) route { return routeOf(http.MethodPatch, pattern, n, h) }

func remove(pattern string, n need, h handler) route {
	return routeOf(http.MethodDelete, pattern, n, h)
}

func routeOf(method, pattern string, n need, h handler) route {
	return route{method: method, pattern: pattern, need: n, handle: h, maxBody: maxJSONBytes}
}

// allowedMethods lists the methods of a path, for Allow; none if there is no such
// path. The router's own list is incomplete: it misses paths in which a parameter is
// followed by more segments.
func (a *api) allowedMethods(path string) []string {
	var methods []string
	for _, rt := range a.routes {
		if !rt.matches(path) {
			continue
		}
		methods = append(methods, rt.method)
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	if len(methods) == 0 {
		return nil
	}
	methods = append(methods, http.MethodOptions)
	slices.Sort(methods)
	return methods
}

// matches reports whether the path is one of the route's, with any method.
func (rt route) matches(path string) bool {
	want, got := strings.Split(rt.pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		if strings.HasPrefix(w, ":") {
			return g != ""
		}
		return w == g
	})
}

// unrouted answers what no route does.
func (a *api) unrouted(w http.ResponseWriter, req bunrouter.Request) error {
	methods := a.allowedMethods(req.URL.Path)
	if len(methods) == 0 {
		a.fail(w, req.Request, notFoundAt(req.URL.Path))
		return nil
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	if req.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	a.fail(w, req.Request, refused(codeMethodNotAllowed, "%s is not allowed for this path; allowed are %s",
		printable(req.Method), strings.Join(methods, ", ")))
	return nil
}

// serve makes the router's handler of a route. It authenticates the caller, asks whether
// it may use the route, bounds the body, and answers the handler's error, so that none
// ever reaches the router.
func (a *api) serve(rt route, admit func(*request, need) error) bunrouter.HandlerFunc {
	return func(w http.ResponseWriter, req bunrouter.Request) error {
		x := exchangeOf(req.Context())
		x.route = rt.pattern
		r := &request{
			Request: req.Request, id: req.Param("id"), index: req.Param("index"), event: req.Param("event"), period: req.Param("period"),
			code: req.Param("code"), file: req.Param("file"),
		}
		if rt.need != anyone {
			actor, challenge, err := a.known(w.Header(), rt, r)
			if err != nil {
				if challenge != "" {
					w.Header().Set("WWW-Authenticate", challenge)
				}
				a.fail(w, req.Request, err)
				return nil
			}
			r.actor, x.actor = actor, actor
			if a.cfg.Authenticated != nil {
				a.cfg.Authenticated(req.Context())
			}
			x.body.senderKnown(req.Request)
			if err := admit(r, rt.need); err != nil {
				a.fail(w, req.Request, err)
				return nil
			}
			if err := rt.checkQuery(r); err != nil {
				a.fail(w, req.Request, err)
				return nil
			}
			if rt.upload {
				x.body.isUpload()
			}
		}
		if rt.method == http.MethodPost {
			if err := r.markRepeats(w, x); err != nil {
				a.fail(w, req.Request, err)
				return nil
			}
		}
		// MaxBytesReader needs net/http's own writer: only then is the connection closed
		// for a client that goes on sending what will not be read.
		r.Body = http.MaxBytesReader(x.raw, r.Body, rt.maxBody)
		err := rt.handle(w, r)
		if err != nil && x.body.timedOut() {
			err = refused(codeRequestTimeout, "the body did not come, or came too slowly; send it again")
		}
		if err != nil {
			a.fail(w, req.Request, err)
		}
		return nil
	}
}
