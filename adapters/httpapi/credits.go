package httpapi

import (
	"math"
	"net/http"

	"github.com/redrive/redrive/core"
)

const (
	defaultLedgerPage = 100
	maxLedgerPage     = 1000
)

// getBalance is GET /balance: what can be spent in the current month.
func (a *api) getBalance(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	b, err := a.svc.Balance(r.Context(), r.actor, tenant)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toBalance(tenant, b))
}

// grantAllowance is POST /tenants/{id}/allowances {period, amount}.
func (a *api) grantAllowance(w http.ResponseWriter, r *request) error {
	tenant, key, body, err := a.grantRequest(w, r)
	if err != nil {
		return err
	}
	text, amount := body.string("period"), core.Credits(body.int("amount"))
	if err := body.done(); err != nil {
		return err
	}
	period, err := core.ParsePeriod(text)
	if err != nil {
		return err
	}
	entry, err := a.svc.GrantAllowance(r.Context(), r.actor, tenant, key, period, amount)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, toEntry(entry))
}

// purchaseCredits is POST /tenants/{id}/purchases {amount}.
func (a *api) purchaseCredits(w http.ResponseWriter, r *request) error {
	tenant, key, body, err := a.grantRequest(w, r)
	if err != nil {
		return err
	}
	amount := core.Credits(body.int("amount"))
	if err := body.done(); err != nil {
		return err
	}
	entry, err := a.svc.PurchaseCredits(r.Context(), r.actor, tenant, key, amount)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, toEntry(entry))
}

// grantRequest reads what both kinds of grant have in common.
func (a *api) grantRequest(w http.ResponseWriter, r *request) (core.TenantID, core.Key, *object, error) {
	tenant, err := r.pathTenant()
	if err != nil {
		return "", "", nil, err
	}
	key, err := r.requiredKey()
	if err != nil {
		return "", "", nil, err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	return tenant, key, body, err
}

// listLedger is GET /tenants/{id}/ledger: the entries in the order in which they
// were posted.
func (a *api) listLedger(w http.ResponseWriter, r *request) error {
	tenant, err := r.pathTenant()
	if err != nil {
		return err
	}
	after, err := r.queryInt("after", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", defaultLedgerPage, 1, maxLedgerPage)
	if err != nil {
		return err
	}
	entries, err := a.svc.Entries(r.Context(), r.actor, tenant, after, int(limit)+1)
	if err != nil {
		return err
	}
	page := ledgerPageJSON{Entries: make([]entryJSON, 0, len(entries))}
	if len(entries) > int(limit) {
		entries = entries[:limit]
		page.NextAfter = entries[limit-1].Seq
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, toEntry(e))
	}
	return writeJSON(w, http.StatusOK, page)
}
