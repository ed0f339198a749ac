package webui

import (
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// missingNamed is how many tenants that are missing a notice names.
const missingNamed = 10

// missing takes the error of something over all tenants apart: a notice of what is missing,
// nil if nothing is, or the error if there is nothing to show.
func (u *ui) missing(r *request, err error) (*Notice, error) {
	incomplete, ok := errors.AsType[*ports.Incomplete](err)
	if !ok {
		return nil, err
	}
	u.cfg.Log.WarnContext(r.Context(), "a page is incomplete", "path", r.URL.Path, "error", err)
	return r.missingNotice(incomplete.Tenants), nil
}

func (r *request) missingNotice(tenants []core.TenantID) *Notice {
	n := &Notice{Tone: ToneWarn, Text: r.T("incomplete.some"), More: r.T("incomplete.more")}
	if len(tenants) == 0 {
		return n
	}
	names := make([]string, min(len(tenants), missingNamed))
	for i := range names {
		names[i] = visible(string(tenants[i]))
	}
	if more := len(tenants) - len(names); more > 0 {
		names = append(names, r.T("incomplete.others", more))
	}
	n.Text = r.T("incomplete", len(tenants), r.list(names))
	return n
}

// partial is the parameter of a link to a next page after one that was incomplete.
const partial = "partial"

// missingOnPage is missing for a page of a list. Each page after one that was incomplete says
// so, until the list is begun again. more are the parameters of a link to the next one.
func (u *ui) missingOnPage(r *request, err error) (n *Notice, more []string, _ error) {
	n, err = u.missing(r, err)
	if err != nil {
		return nil, nil, err
	}
	if n == nil && r.URL.Query().Get(partial) != "" {
		n = &Notice{Tone: ToneWarn, Text: r.T("incomplete.before")}
	}
	if n != nil {
		more = []string{partial, "1"}
	}
	return n, more, nil
}
