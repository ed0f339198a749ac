-- Tickets that open one event stream each, for clients that cannot send headers. As with
-- sessions, a ticket is found by its ID before it is known whose it is, so the key does
-- not begin with the tenant and no foreign key leads out of it (on a sharded database the
-- table stands on the coordinator). What is kept of the client's token is its hash. A
-- ticket is good for a minute, so there is nothing to move with a tenant.

-- +goose Up

CREATE TABLE event_tickets (
    ticket_id  text COLLATE "C" NOT NULL,
    tenant_id  text COLLATE "C" NOT NULL, -- '' only for a platform admin without one
    subject    text COLLATE "C" NOT NULL,
    role       text             NOT NULL,
    created_at timestamptz      NOT NULL,
    expires_at timestamptz      NOT NULL,
    CONSTRAINT event_tickets_pkey PRIMARY KEY (ticket_id),
    CONSTRAINT event_tickets_id CHECK (octet_length(ticket_id) BETWEEN 32 AND 128),
    CONSTRAINT event_tickets_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT event_tickets_tenant CHECK (octet_length(tenant_id) <= 64 AND (tenant_id <> '' OR role = 'bubble_admin')),
    CONSTRAINT event_tickets_subject CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT event_tickets_times CHECK (expires_at > created_at)
);

-- What has expired is swept, and a tenant has a bounded number of them.
CREATE INDEX event_tickets_expired ON event_tickets (expires_at);
CREATE INDEX event_tickets_of ON event_tickets (tenant_id, expires_at);
