-- Tickets that open one event stream each, for clients that cannot send headers. As with
-- sessions, a ticket is found by its ID before it is known whose it is. What is kept of
-- the client's token is its hash.

-- +goose Up

CREATE TABLE event_tickets (
    ticket_id  TEXT    NOT NULL,
    tenant_id  TEXT    NOT NULL, -- '' only for a platform admin without one
    subject    TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT event_tickets_pkey PRIMARY KEY (ticket_id),
    CONSTRAINT event_tickets_id CHECK (octet_length(ticket_id) BETWEEN 32 AND 128),
    CONSTRAINT event_tickets_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT event_tickets_tenant CHECK (octet_length(tenant_id) <= 64 AND (tenant_id <> '' OR role = 'bubble_admin')),
    CONSTRAINT event_tickets_subject CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT event_tickets_times CHECK (expires_at > created_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_tickets_expired ON event_tickets (expires_at);
CREATE INDEX event_tickets_of ON event_tickets (tenant_id, expires_at);
