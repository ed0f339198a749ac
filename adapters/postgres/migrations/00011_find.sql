-- What people look for. Neither index has a column that a settlement changes.

-- +goose Up

-- A month of a tenant's ledger, for statements and usage: without it a month would
-- read the whole history.
CREATE INDEX ledger_period ON ledger (tenant_id, period, seq DESC);

-- Runs that were interrupted otherwise than by a cancel, over all tenants, the latest
-- first: what an operator looks at. It holds these runs only.
CREATE INDEX runs_interrupted ON runs (closed_at DESC, run_id DESC, tenant_id)
    WHERE status = 'INTERRUPTED' AND reason <> 'cancelled';
