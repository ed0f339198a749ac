package httpapi

import (
	"fmt"

	"github.com/redrive/redrive/core"
)

// need is the permission that a route asks for before its handler sees the request: what
// the caller does, and with whose. The rule is core.Authorize, which the use cases ask
// again, because they have other callers too.
type need struct {
	action core.Action
	whose  whose
}

// whose says how a route finds the tenant that its resource belongs to.
type whose string

const (
	ofRun      whose = "run"      // that of the run in the path
	ofPath     whose = "path"     // the one in the path
	ofQuery    whose = "query"    // ?tenant=, else the caller's own
	ofScope    whose = "scope"    // as ofQuery, or with ?allTenants=true that of nobody: it is about several
	ofBulk     whose = "bulk"     // that of the bulk continue in the path
	ofAny      whose = "any"      // as ofQuery, or all of them for a platform admin who names none
	ofPlatform whose = "platform" // none: it is about all of them, or about what is none's yet
	ofNobody   whose = "public"   // none, and nobody has to be signed in
)

// anyone is the need of a route that takes no credential.
var anyone = need{whose: ofNobody}

func onRun(a core.Action) need        { return need{a, ofRun} }
func onPath(a core.Action) need       { return need{a, ofPath} }
func onQuery(a core.Action) need      { return need{a, ofQuery} }
func onQueryOrAll(a core.Action) need { return need{a, ofAny} }
func onPlatform(a core.Action) need   { return need{a, ofPlatform} }
func onScope(a core.Action) need      { return need{a, ofScope} }
func onBulk(a core.Action) need       { return need{a, ofBulk} }

// check says what is wrong with a need. A route without one must not be served.
func (n need) check() error {
	switch n.whose {
	case ofNobody:
		if n.action != "" {
			return fmt.Errorf("it is public and needs %q", n.action)
		}
		return nil
	case ofRun, ofPath, ofQuery, ofAny, ofScope, ofBulk, ofPlatform:
		if !n.action.Valid() {
			return fmt.Errorf("%q is no action that core.Authorize knows", n.action)
		}
		return nil
	default:
		return fmt.Errorf("it does not say who may use it")
	}
}

// admit decides whether the caller may use the route, and notes whose its resource is.
func (a *api) admit(r *request, n need) (err error) {
	switch n.whose {
	case ofNobody:
		return nil
	case ofRun:
		id, err := r.runID()
		if err != nil {
			return err
		}
		r.owner, err = a.svc.AuthorizeRun(r.Context(), r.actor, n.action, id)
		return err
	case ofBulk:
		id, err := r.bulkID()
		if err != nil {
			return err
		}
		r.owner, err = a.svc.AuthorizeBulk(r.Context(), r.actor, n.action, id)
		return err
	case ofScope:
		all, err := r.queryBool("allTenants")
		if err != nil {
			return err
		}
		if all {
			return core.Authorize(r.actor, core.ActionContinueAnyTenant, r.actor.Tenant)
		}
		return a.admit(r, onQuery(n.action))
	case ofPath:
		r.owner, err = r.pathTenant()
	case ofQuery:
		r.owner, err = r.queryTenant()
	case ofAny:
		r.owner, err = r.queryTenantOrAll()
	case ofPlatform:
		r.owner = r.actor.Tenant
	default:
		return refused(core.CodeRoleNotAllowed, "this is for nobody")
	}
	if err != nil {
		return err
	}
	return core.Authorize(r.actor, n.action, r.owner)
}
