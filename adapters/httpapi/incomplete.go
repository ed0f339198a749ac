package httpapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// incompleteJSON says that tenants are missing from an answer, because a part of the database
// does not answer. Of that part nobody outside is told more than whose it is.
type incompleteJSON struct {
	Message     string   `json:"message"`
	Tenants     []string `json:"tenants,omitempty"` // the first of them, ascending
	TenantCount int      `json:"tenantCount,omitempty"`
}

// maxMissing is how many tenants that are missing an answer names.
const maxMissing = 20

// incomplete takes the error of an answer over all tenants apart: what to say of what is
// missing, nil if nothing is, or the error if there is no answer.
func (a *api) incomplete(r *request, err error) (*incompleteJSON, error) {
	missing, ok := errors.AsType[*ports.Incomplete](err)
	if !ok {
		return nil, err
	}
	a.cfg.Log.WarnContext(r.Context(), "an answer is incomplete", "path", r.URL.Path, "error", err)
	return toIncomplete(missing.Tenants), nil
}

func toIncomplete(missing []core.TenantID) *incompleteJSON {
	j := &incompleteJSON{TenantCount: len(missing), Tenants: make([]string, min(len(missing), maxMissing))}
	for i := range j.Tenants {
		j.Tenants[i] = string(missing[i])
	}
	named := strings.Join(j.Tenants, ", ")
	if more := len(missing) - len(j.Tenants); more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	switch len(missing) {
	case 0:
		j.Message = "A part of the database does not answer at the moment, so this may not be all. Nothing is lost; ask again in a while."
	case 1:
		j.Message = fmt.Sprintf("A part of the database does not answer at the moment, so tenant %s is missing here. Nothing is lost; ask again in a while.", named)
	default:
		j.Message = fmt.Sprintf("A part of the database does not answer at the moment, so %d tenants are missing here: %s. Nothing is lost; ask again in a while.", len(missing), named)
	}
	return j
}

// incompleteBefore says that a page before this one was incomplete, and this one is not.
func incompleteBefore() *incompleteJSON {
	return &incompleteJSON{Message: "A page before this one was incomplete, since a part of the database did not answer then. To see everything, begin again without a cursor."}
}

// incompletePage is incomplete for a page of a list. A cursor remembers that a page before it
// was incomplete, so that each page which follows says so: a client that has come to the last page
// without a word of it has seen all.
func (l *listing) incompletePage(err error) (*incompleteJSON, error) {
	missing, err := l.api.incomplete(l.r, err)
	if err != nil {
		return nil, err
	}
	if missing == nil && l.partial {
		missing = incompleteBefore()
	}
	l.partial = missing != nil
	return missing, nil
}
