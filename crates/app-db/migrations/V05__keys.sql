-- Tables of keys: their bucket is the first byte of the key's own hash, so that the same key always meets itself,
-- whatever conversation its message is in. Rows are deleted in batches, found by block range.

-- A client's Idempotency-Key, within its API key. Written in the message's transaction.
create table idempotency_keys (
    bucket      smallint    not null check (bucket between 0 and 255),
    key_hash    bytea       not null check (length(key_hash) = 32),
    -- SHA-256 of the request: another request under the same key is refused.
    fingerprint bytea       not null check (length(fingerprint) = 32),
    message_id  uuid        not null,
    created_at  timestamptz not null default now(),
    primary key (bucket, key_hash),
    check (bucket = get_byte(key_hash, 0))
);
create index idempotency_keys_by_age on idempotency_keys using brin (created_at) with (autosummarize = on);

-- A provider's id of an inbound message: the same one delivered again is the same message.
create table inbound_keys (
    bucket     smallint    not null check (bucket between 0 and 255),
    -- SHA-256 over provider and its message id.
    key_hash   bytea       not null check (length(key_hash) = 32),
    message_id uuid        not null,
    created_at timestamptz not null default now(),
    primary key (bucket, key_hash),
    check (bucket = get_byte(key_hash, 0))
);
create index inbound_keys_by_age on inbound_keys using brin (created_at) with (autosummarize = on);

-- The provider's id of a message that we sent, for kinds whose receipts cannot carry ours.
create table provider_refs (
    bucket     smallint    not null check (bucket between 0 and 255),
    key_hash   bytea       not null check (length(key_hash) = 32),
    message_id uuid        not null,
    attempt    integer     not null,
    created_at timestamptz not null default now(),
    primary key (bucket, key_hash),
    check (bucket = get_byte(key_hash, 0))
);
create index provider_refs_by_age on provider_refs using brin (created_at) with (autosummarize = on);
