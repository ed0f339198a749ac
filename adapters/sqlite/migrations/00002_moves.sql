-- Moves of tenants from and to other databases. See ports.Mover.

-- +goose Up

-- What this side knows of the latest move of a tenant. It has no foreign key: a tenant that
-- is expected is not there yet.
CREATE TABLE moves (
    tenant_id TEXT    NOT NULL,
    move_id   TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    closed    INTEGER NOT NULL, -- the tenant takes no writes
    at        INTEGER NOT NULL,
    CONSTRAINT moves_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT moves_state CHECK (state IN ('expected', 'arriving', 'arrived', 'abandoned', 'leaving', 'gone')),
    CONSTRAINT moves_closed CHECK (closed = (state <> 'arrived'))
) STRICT, WITHOUT ROWID;
