package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// RouteTable lists the routes of the OpenAPI document, "GET /balance".
func RouteTable() []string {
	var list []string
	for _, rt := range (&api{}).allRoutes() {
		if !rt.page {
			list = append(list, rt.method+" "+rt.pattern)
		}
	}
	return list
}

// Unguarded is New whose routes let every caller in that is signed in, so that only the
// use cases decide.
func Unguarded(svc *app.Service, cfg Config) http.Handler {
	a := newAPI(svc, cfg)
	return a.handler(func(r *request, n need) error {
		_ = a.admit(r, n) // for the owner that it finds
		return nil
	})
}

// ServeRoute panics if this route would not be served.
func ServeRoute(action core.Action, owner string) {
	a := &api{routes: []route{get("/x", need{action, whose(owner)}, nil)}}
	a.handler(a.admit)
}

// ProblemCodes lists the codes of the table, ascending.
func ProblemCodes() []string {
	var list []string
	for code := range problems {
		list = append(list, string(code))
	}
	slices.Sort(list)
	return list
}

// ProblemStatus gives what the table says of a code; 0 if it has no row.
func ProblemStatus(code core.Code) int { return problems[code].status }

// Fault gives the refusal that a client gets for an error, and whether the error is logged.
func Fault(err error) (code core.Code, detail string, logged bool) {
	refusal, cause := refusalOf(err)
	return refusal.Code, refusal.Message, cause != nil
}

// Front puts a handler where the router is.
func Front(next http.Handler, log *slog.Logger) http.Handler { return FrontWith(next, log, Pace{}) }

// FrontWith is Front with this pace.
func FrontWith(next http.Handler, log *slog.Logger, pace Pace) http.Handler {
	return &front{api: &api{cfg: Config{Log: log, Pace: pace.withDefaults()}}, next: next}
}

// Watched gives the runs that are watched, and by how many streams.
func (s *Streams) Watched() (runs, watchers int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, run := range s.hub.watched {
		watchers += len(run.watchers)
	}
	return len(s.hub.watched), watchers
}

// Open gives the streams that have a place.
func (s *Streams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// WithClock gives limits with a clock of the test's.
func (l RateLimits) WithClock(now func() time.Time) RateLimits {
	l.now = now
	return l
}

// WithWait gives limits with another wait for a turn.
func (l RateLimits) WithWait(wait time.Duration) RateLimits {
	l.wait = wait
	return l
}

// Tracked is how many callers, tenants and addresses the limiter remembers.
func (l *Limiter) Tracked() (callers, tenants, addresses int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.credentials.order.Len(), l.tenants.order.Len(), l.addresses.order.Len()
}

// DecodeObject reads a JSON body as the handlers do.
func DecodeObject(body io.Reader, maxElements int) error {
	_, err := decodeObject(body, maxElements)
	return err
}

// ProblemKind is a row of the table of codes.
type ProblemKind struct {
	Status         int
	Code, When, Do string
}

// ProblemKinds gives the table's rows, by status.
func ProblemKinds() []ProblemKind {
	var list []ProblemKind
	for _, code := range problemCodes() {
		to := problems[code]
		list = append(list, ProblemKind{Status: to.status, Code: string(code), When: to.when, Do: to.do})
	}
	return list
}

// ParametersOfQueries are the names that the query of each operation may have.
func ParametersOfQueries() map[string][]string { return parametersOfQueries() }

// DocumentPath is a route's pattern as a path of the document.
func DocumentPath(pattern string) string { return route{pattern: pattern}.documentPath() }
