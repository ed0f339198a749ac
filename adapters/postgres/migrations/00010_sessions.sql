-- Who is signed in. It is no tenant's table: a session is found by its ID before it
-- is known whose it is, so the key does not begin with the tenant, no row-level rule
-- of tenants applies, and no foreign key leads out of it (on a sharded database it
-- stands on the coordinator). What is kept of the browser's token is its hash.

-- +goose Up

CREATE TABLE sessions (
    session_id text COLLATE "C" NOT NULL,
    tenant_id  text COLLATE "C" NOT NULL, -- '' only for a platform admin without one
    subject    text COLLATE "C" NOT NULL,
    role       text             NOT NULL,
    via        text             NOT NULL, -- how it was made: token, api_key, oidc
    created_at timestamptz      NOT NULL,
    seen_at    timestamptz      NOT NULL,
    expires_at timestamptz      NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (session_id),
    CONSTRAINT sessions_id CHECK (octet_length(session_id) BETWEEN 32 AND 128),
    CONSTRAINT sessions_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT sessions_tenant CHECK (octet_length(tenant_id) <= 64 AND (tenant_id <> '' OR role = 'bubble_admin')),
    CONSTRAINT sessions_subject CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT sessions_via CHECK (octet_length(via) BETWEEN 1 AND 32),
    CONSTRAINT sessions_times CHECK (seen_at >= created_at AND expires_at > created_at)
);

-- What has expired is swept, and everything of one person is ended at once.
CREATE INDEX sessions_expired ON sessions (expires_at);
CREATE INDEX sessions_of ON sessions (tenant_id, subject);
