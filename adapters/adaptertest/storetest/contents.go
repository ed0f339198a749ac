package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Contents is everything that a store holds of one tenant. Two Contents are
// equal (require.Equal) if and only if nothing was changed in between.
type Contents struct {
	Tenant     *core.Tenant // nil: there is no such tenant
	Templates  []core.Template
	Versions   map[core.TemplateID][]core.TemplateVersion // newest first
	APIKeys    []core.APIKey                              // ascending by ID
	Runs       []core.Run                                 // newest first
	Files      map[core.RunID][]core.File
	Attempts   map[core.RunID][]core.Attempt
	Amendments map[core.RunID][]core.Amendment
	Entries    []core.Entry
	Balances   []core.Balance
	Audit      []core.AuditEvent // the latest first
	// Answers has those of the keys that were asked for: answers cannot be listed.
	Answers map[core.Key]core.Answer
	// BulkRuns has those of the bulk continues of the fixtures, for the same reason.
	BulkRuns map[core.BulkID][]core.BulkRun
	// Replies has those of the operation "storetest" under the same keys.
	Replies    map[core.Key]core.Reply
	Low        core.LowCredits
	Endpoints  []core.WebhookEndpoint
	Deliveries []core.WebhookDelivery // of each endpoint, newest first
}

// bulkIDs are the bulk continues of the fixtures.
var bulkIDs = []core.BulkID{"bulk-1", "bulk-2"}

// Read reads everything of a tenant on one snapshot, and the answers under keys.
func Read(ctx context.Context, s ports.Store, tenant core.TenantID, keys ...core.Key) (Contents, error) {
	var c Contents
	err := s.View(ctx, tenant, func(tx ports.Tx) (err error) {
		c, err = readAll(ctx, tx, keys)
		return err
	})
	return c, err
}

// MustRead is Read in a test.
func MustRead(t *testing.T, s ports.Store, tenant core.TenantID, keys ...core.Key) Contents {
	t.Helper()
	c, err := Read(bounded(t), s, tenant, keys...)
	require.NoError(t, err)
	return c
}

func readAll(ctx context.Context, tx ports.Tx, keys []core.Key) (Contents, error) {
	c := Contents{
		Versions: map[core.TemplateID][]core.TemplateVersion{}, Files: map[core.RunID][]core.File{}, Attempts: map[core.RunID][]core.Attempt{},
		Amendments: map[core.RunID][]core.Amendment{}, Answers: map[core.Key]core.Answer{}, Replies: map[core.Key]core.Reply{},
		BulkRuns: map[core.BulkID][]core.BulkRun{},
	}
	tenant, err := tx.Tenants().Get(ctx)
	switch {
	case err == nil:
		c.Tenant = &tenant
	case !errors.Is(err, ports.ErrNotFound):
		return c, err
	}
	if c.Templates, err = tx.Templates().List(ctx); err != nil {
		return c, err
	}
	for _, t := range c.Templates {
		versions, err := tx.TemplateVersions().List(ctx, t.ID, 0, 1<<20)
		if err != nil {
			return c, err
		}
		if len(versions) > 0 {
			c.Versions[t.ID] = versions
		}
	}
	if c.APIKeys, err = tx.APIKeys().List(ctx); err != nil {
		return c, err
	}
	if c.Runs, err = tx.Runs().List(ctx, ports.RunFilter{Limit: 1 << 20}); err != nil {
		return c, err
	}
	for _, r := range c.Runs {
		if c.Files[r.ID], err = tx.FileViews().Page(ctx, r.ID, ports.FileFilter{From: 0, Limit: 1 << 20, OutputBytes: 1 << 20}); err != nil {
			return c, err
		}
		if c.Attempts[r.ID], err = tx.Attempts().List(ctx, r.ID); err != nil {
			return c, err
		}
		if c.Amendments[r.ID], err = tx.Amendments().List(ctx, r.ID); err != nil {
			return c, err
		}
	}
	if c.Entries, err = tx.Ledger().Entries(ctx, 0, 1<<20); err != nil {
		return c, err
	}
	if c.Balances, err = tx.Ledger().Balances(ctx); err != nil {
		return c, err
	}
	if c.Audit, err = tx.AuditLog().List(ctx, ports.AuditPage{Limit: 1 << 20}); err != nil {
		return c, err
	}
	for _, key := range keys {
		reply, err := tx.Replies().Get(ctx, storetestOperation, key)
		switch {
		case err == nil:
			c.Replies[key] = reply
		case !errors.Is(err, ports.ErrNotFound):
			return c, err
		}
		answer, err := tx.Answers().Get(ctx, key)
		if errors.Is(err, ports.ErrNotFound) {
			continue
		}
		if err != nil {
			return c, err
		}
		c.Answers[key] = answer
	}
	for _, id := range bulkIDs {
		runs, err := tx.BulkParts().Runs(ctx, id, ports.BulkRunFilter{Limit: 1 << 20})
		if err != nil {
			return c, err
		}
		if len(runs) > 0 {
			c.BulkRuns[id] = runs
		}
	}
	if err := c.readWebhooks(ctx, tx); err != nil {
		return c, err
	}
	c.tidy()
	return c, nil
}

func (c *Contents) readWebhooks(ctx context.Context, tx ports.Tx) (err error) {
	if c.Low, err = tx.WebhookEvents().LowCredits(ctx); err != nil && !errors.Is(err, ports.ErrNotFound) {
		return err
	}
	if c.Endpoints, err = tx.WebhookEndpoints().List(ctx); err != nil {
		return err
	}
	for _, e := range c.Endpoints {
		list, err := tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: e.ID, Limit: 1 << 20})
		if err != nil {
			return err
		}
		c.Deliveries = append(c.Deliveries, list...)
	}
	return nil
}

// tidy makes lists without elements nil: a store may give them either way.
func (c *Contents) tidy() {
	c.APIKeys = orNil(c.APIKeys)
	c.Templates, c.Runs, c.Entries, c.Balances, c.Audit = orNil(c.Templates), orNil(c.Runs), orNil(c.Entries), orNil(c.Balances), orNil(c.Audit)
	c.Endpoints, c.Deliveries = orNil(c.Endpoints), orNil(c.Deliveries)
	for id := range c.Files {
		c.Files[id], c.Attempts[id], c.Amendments[id] = orNil(c.Files[id]), orNil(c.Attempts[id]), orNil(c.Amendments[id])
	}
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
