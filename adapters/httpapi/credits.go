package httpapi

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
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

// listLedger is GET /tenants/{id}/ledger: the entries in the order in which they were posted,
// or the latest first, which can be filtered.
func (a *api) listLedger(w http.ResponseWriter, r *request) error {
	tenant, err := r.pathTenant()
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", defaultLedgerPage, 1, maxLedgerPage)
	if err != nil {
		return err
	}
	filter, newest, err := entryFilter(r)
	if err != nil {
		return err
	}
	list, err := a.listing(r, "ledger", tenant, "order", "kind", "period", "run")
	if err != nil {
		return err
	}
	if newest {
		filter.Limit = int(limit)
		return a.latestEntries(w, r, tenant, list, filter)
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	after, err := r.queryInt("after", 0, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	if place != "" {
		if after != 0 {
			return core.InvalidField("after", "cannot be there together with a cursor; send the cursor alone")
		}
		if after, err = strconv.ParseInt(place, 10, 64); err != nil || after < 0 {
			return badCursor()
		}
	}
	entries, err := a.svc.Entries(r.Context(), r.actor, tenant, after, int(limit)+1)
	if err != nil {
		return err
	}
	page := ledgerPageJSON{}
	if len(entries) > int(limit) {
		entries = entries[:limit]
		page.NextAfter = entries[limit-1].Seq
		page.NextCursor = list.next(w, strconv.FormatInt(page.NextAfter, 10))
	}
	page.Entries = toEntries(entries)
	return writeTagged(w, r, page)
}

// latestEntries answers with the latest entries that the filter selects.
func (a *api) latestEntries(w http.ResponseWriter, r *request, tenant core.TenantID, list *listing, filter ports.EntryFilter) error {
	place, err := list.after()
	if err != nil {
		return err
	}
	if place != "" {
		if filter.Before, err = strconv.ParseInt(place, 10, 64); err != nil || filter.Before < 1 {
			return badCursor()
		}
	}
	found, err := a.svc.FindEntries(r.Context(), r.actor, tenant, filter)
	if err != nil {
		return err
	}
	page := ledgerPageJSON{Entries: toEntries(found.Entries)}
	if found.Next != 0 {
		page.NextCursor = list.next(w, strconv.FormatInt(found.Next, 10))
	}
	return writeTagged(w, r, page)
}

// entryFilter reads the filter of GET /tenants/{id}/ledger.
func entryFilter(r *request) (filter ports.EntryFilter, newest bool, err error) {
	filtered := ""
	err = r.readFilter([]parameter{
		{"order", func(v string) string {
			newest = v == "newest"
			return mistakeIf(!newest && v != "oldest", "must be oldest or newest: which entries come first")
		}},
		{"kind", func(v string) string {
			filtered = "kind"
			for word := range strings.SplitSeq(v, ",") {
				if !core.EntryKind(word).Valid() {
					return "must be allowance, purchase, charge or refund, or several of them with commas between"
				}
				if !slices.Contains(filter.Kinds, core.EntryKind(word)) {
					filter.Kinds = append(filter.Kinds, core.EntryKind(word))
				}
			}
			return ""
		}},
		{"period", func(v string) string {
			filtered = "period"
			var err error
			filter.Period, err = core.ParsePeriod(v)
			return mistakeIf(err != nil, "must be a month such as 2026-11")
		}},
		{"run", func(v string) string {
			filtered = "run"
			filter.Run = core.RunID(v)
			return mistakeIf(!core.ValidID(v), "is no run's ID")
		}},
	})
	if err == nil && filtered != "" && !newest {
		err = core.InvalidField(filtered, "can be looked for only with order=newest")
	}
	return filter, newest, err
}
