-- For databases on Citus, see adapters/postgres/placement.go; on plain Postgres it does
-- nothing and costs nothing.

-- +goose Up

-- A migration that makes a table of tenants calls this between its CREATE TABLE and the
-- foreign keys that lead out of the table: on Citus the table is then spread by tenant,
-- each tenant's rows on the node that has the tenant's other rows, since no foreign key can
-- lead from a table of one node to one of many. Triggers follow the table to its shards.
-- +goose StatementBegin
CREATE FUNCTION place_by_tenant(of_table regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    distributed boolean;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
        RETURN;
    END IF;
    -- As text: without Citus there is no such table to plan for.
    EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = ''tenants''::regclass)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = $1)' INTO distributed USING of_table;
    IF NOT distributed THEN
        RETURN;
    END IF;
    PERFORM set_config('citus.enable_unsafe_triggers', 'on', true);
    EXECUTE 'SELECT create_distributed_table($1, ''tenant_id'', colocate_with => ''tenants'')' USING of_table;
END $$;
-- +goose StatementEnd
