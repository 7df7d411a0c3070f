-- Sessions of the console. A control table (small, no bucket). The cookie holds a random token; only its SHA-256 is here,
-- so that a copy of this table opens no session.
create table console_sessions (
    token_hash  bytea       primary key check (length(token_hash) = 32),
    api_key_id  uuid        not null references api_keys (id) on delete cascade,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null
);
create index console_sessions_api_key on console_sessions (api_key_id);
create index console_sessions_expiry on console_sessions (expires_at);
