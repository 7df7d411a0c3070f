-- Webhooks as they arrived that could not be verified or understood, and receipts that match no message yet.
-- Bounded by rows and bytes (app_db::quarantine); each can be played again.
create table webhook_deliveries (
    id                  uuid        primary key,
    provider_id         text        not null,
    reason              text        not null check (reason in ('unverified', 'unparsable', 'unmatched')),
    detail              text        not null,
    method              text        not null,
    -- Path and query.
    target              text        not null,
    headers             jsonb       not null,
    body                bytea       not null,
    -- For an unmatched receipt: SHA-256 over provider and its message id, as in provider_refs.
    key_hash            bytea,
    received_at         timestamptz not null default now()
);
create index webhook_deliveries_unmatched on webhook_deliveries (key_hash) where reason = 'unmatched';
