-- Moves of tenants from and to other databases. See ports.Mover.

-- +goose Up

-- What this side knows of the latest move of a tenant. It has no foreign key: a tenant that
-- is expected is not there yet.
CREATE TABLE moves (
    tenant_id text COLLATE "C" NOT NULL,
    move_id   text COLLATE "C" NOT NULL,
    state     text             NOT NULL,
    closed    boolean          NOT NULL, -- the tenant takes no writes
    at        timestamptz      NOT NULL,
    CONSTRAINT moves_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT moves_state CHECK (state IN ('expected', 'importing', 'arriving', 'arrived', 'abandoned', 'leaving', 'gone')),
    CONSTRAINT moves_closed CHECK (closed = (state NOT IN ('arrived', 'importing')))
);

-- A tenant that is closed is refused by triggers, so that it is closed for every server, of
-- whatever version. They would cost a look-up for each row that is written, so they are
-- turned off, and on only while some tenant is closed (adapters/postgres/move.go).
-- +goose StatementBegin
CREATE FUNCTION refuse_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM moves m WHERE m.tenant_id = NEW.tenant_id AND m.closed;
    IF FOUND THEN
        RAISE EXCEPTION 'the tenant is being moved to another database, or was moved there'
            USING ERRCODE = 'RD001', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON credits FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON allowances FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON templates FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON template_versions FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON files FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON attempt_file_rows FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON amendments FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION refuse_moved();

ALTER TABLE tenants DISABLE TRIGGER moved;
ALTER TABLE credits DISABLE TRIGGER moved;
ALTER TABLE allowances DISABLE TRIGGER moved;
ALTER TABLE templates DISABLE TRIGGER moved;
ALTER TABLE template_versions DISABLE TRIGGER moved;
ALTER TABLE runs DISABLE TRIGGER moved;
ALTER TABLE files DISABLE TRIGGER moved;
ALTER TABLE attempts DISABLE TRIGGER moved;
ALTER TABLE attempt_file_rows DISABLE TRIGGER moved;
ALTER TABLE amendments DISABLE TRIGGER moved;
ALTER TABLE ledger DISABLE TRIGGER moved;
ALTER TABLE answers DISABLE TRIGGER moved;
