-- The keys of refunds, now that a platform admin may refund a charge in parts (00018). They are
-- built beside the servers that go on charging, which a transaction cannot do; for the same
-- reason it waits for as long as it takes: nobody waits for it. A build that was cut off leaves
-- an index that is not used, so it is removed first.

-- +goose NO TRANSACTION
-- +goose Up

SET lock_timeout = 0;

-- Redrive itself refunds a charge once, whoever asks and under whatever key. 00025 gives it its
-- name.
DROP INDEX CONCURRENTLY IF EXISTS ledger_refunded_once_next;
CREATE UNIQUE INDEX CONCURRENTLY ledger_refunded_once_next ON ledger (tenant_id, charge_key) WHERE charge_key IS NOT NULL AND reason IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS ledger_refunds;
CREATE INDEX CONCURRENTLY ledger_refunds ON ledger (tenant_id, charge_key) WHERE charge_key IS NOT NULL;
