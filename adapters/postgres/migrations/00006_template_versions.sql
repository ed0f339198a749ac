-- What a template's instructions were: a run works with those of its initiation,
-- whatever is edited later. The defaults are for servers of the version before.

-- +goose Up
ALTER TABLE templates ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT templates_version CHECK (version >= 1);
ALTER TABLE runs ADD COLUMN template_version integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT runs_template_version CHECK (template_version >= 1);

CREATE TABLE template_versions (
    tenant_id    text COLLATE "C" NOT NULL,
    template_id  text COLLATE "C" NOT NULL,
    version      integer          NOT NULL,
    instructions text             NOT NULL,
    by_subject   text             NOT NULL,
    by_tenant    text             NOT NULL,
    by_role      text             NOT NULL,
    at           timestamptz      NOT NULL,
    CONSTRAINT template_versions_pkey PRIMARY KEY (tenant_id, template_id, version),
    CONSTRAINT template_versions_template FOREIGN KEY (tenant_id, template_id) REFERENCES templates (tenant_id, template_id),
    CONSTRAINT template_versions_number CHECK (version >= 1),
    CONSTRAINT template_versions_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user'))
);
INSERT INTO template_versions (tenant_id, template_id, version, instructions, by_subject, by_tenant, by_role, at)
    SELECT tenant_id, template_id, 1, instructions, 'system', '', 'bubble_admin', updated_at FROM templates;
CREATE TRIGGER template_versions_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON template_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('versions of templates are never changed or removed');
ALTER TABLE template_versions ENABLE ALWAYS TRIGGER template_versions_kept;
