package httpapi

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/redrive/redrive/core"
)

// request is an HTTP request with its caller and the parameters of its path.
type request struct {
	*http.Request
	actor  core.Actor
	ticket bool          // the caller is known by a ticket
	owner  core.TenantID // whose the route's resource is; the caller may use it
	id     string        // the path's :id, decoded; it may be anything
	index  string        // the path's :index, likewise
	event  string        // the path's :event, likewise
}

// runID is the run that the path names.
func (r *request) runID() (core.RunID, error) {
	if !core.ValidID(r.id) {
		return "", refused(core.CodeRunNotFound, "there is no such run")
	}
	return core.RunID(r.id), nil
}

// fileIndex is the file that the path names.
func (r *request) fileIndex() (int, error) {
	n, err := strconv.ParseUint(r.index, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != r.index { // one file has one address
		return 0, refused(core.CodeFileNotFound, "there is no such file; files are numbered 0, 1, 2, …")
	}
	return int(n), nil
}

// templateID is the template that the path names.
func (r *request) templateID() (core.TemplateID, error) {
	if !core.ValidID(r.id) {
		return "", refused(core.CodeTemplateNotFound, "there is no such template")
	}
	return core.TemplateID(r.id), nil
}

// pathTenant is the tenant that the path names.
func (r *request) pathTenant() (core.TenantID, error) { return r.checkTenant(r.id) }

// queryTenant is the tenant that a request without a run acts for: ?tenant=, or
// else the caller's own.
func (r *request) queryTenant() (core.TenantID, error) {
	named, err := r.query("tenant")
	if err != nil {
		return "", err
	}
	if named == "" {
		named = string(r.actor.Tenant)
	}
	if named == "" {
		return "", core.InvalidField("tenant", "your token names no tenant; say which one with ?tenant=")
	}
	return r.checkTenant(named)
}

// queryTenantOrAll is queryTenant, but that a platform admin who names no tenant asks for
// all of them: empty.
func (r *request) queryTenantOrAll() (core.TenantID, error) {
	named, err := r.query("tenant")
	if err != nil || named == "" && r.actor.Role == core.RolePlatformAdmin {
		return "", err
	}
	return r.queryTenant()
}

// checkTenant refuses a name that cannot be a tenant's ID. A caller that may act for its
// own tenant only is refused with wrong_tenant, as for any other tenant.
func (r *request) checkTenant(named string) (core.TenantID, error) {
	tenant := core.TenantID(named)
	if !core.ValidID(named) {
		if err := core.Authorize(r.actor, core.ActionRead, tenant); err != nil {
			return "", err
		}
		return "", refused(core.CodeTenantNotFound, "there is no such tenant")
	}
	return tenant, nil
}

// query gives a parameter of the query, empty if it is not there. A parameter that is
// there twice is refused, because it is not clear which one counts.
func (r *request) query(name string) (string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", core.InvalidField("query", "is not a valid query string")
	}
	switch v := values[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	default:
		return "", core.InvalidField(name, "is there %d times; give it once", len(v))
	}
}

// queryInt gives a parameter of the query that is a whole number from low to high.
func (r *request) queryInt(name string, otherwise, low, high int64) (int64, error) {
	text, err := r.query(name)
	if err != nil || text == "" {
		return otherwise, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, core.InvalidField(name, "must be a whole number from %d to %d", low, high)
	}
	return n, nil
}

// maxPrice is the highest price that the caller accepts, in credits; nil if it does not
// say.
func (r *request) maxPrice() (*core.Credits, error) {
	text, err := r.query("maxPrice")
	if err != nil || text == "" {
		return nil, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, core.InvalidField("maxPrice", "must be a whole number of credits, 0 or more")
	}
	most := core.Credits(n)
	return &most, nil
}

// idempotencyKey gives the Idempotency-Key header, empty if it is not there.
func (r *request) idempotencyKey() (core.Key, error) {
	const header = "Idempotency-Key"
	values := r.Header.Values(header)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		key := core.Key(values[0])
		return key, core.CheckKey(header, key)
	default:
		return "", core.InvalidField(header, "is there %d times; give it once", len(values))
	}
}

// requiredKey gives the Idempotency-Key header of a request that moves money:
// without one, a repeat after a lost answer would move it twice.
func (r *request) requiredKey() (core.Key, error) {
	key, err := r.idempotencyKey()
	if err == nil && key == "" {
		err = core.InvalidField("Idempotency-Key", "is required here, so that a repeat does not count twice; make up a new one for each grant")
	}
	return key, err
}
