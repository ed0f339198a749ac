-- The index of 00024 takes the place of the constraint, so that refunds by hand may be several.

-- +goose Up

ALTER TABLE ledger DROP CONSTRAINT ledger_refunded_once;
ALTER INDEX ledger_refunded_once_next RENAME TO ledger_refunded_once;
