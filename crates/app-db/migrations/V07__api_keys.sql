-- Who may call the API. A key is shown once; only its hash is kept.
create table api_keys (
    id          uuid        primary key,
    name        text        not null check (length(name) between 1 and 100),
    -- The first characters of the key, to tell keys apart.
    prefix      text        not null,
    key_hash    bytea       not null unique check (length(key_hash) = 32),
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);
