-- Who changed what, when and from where. A control table (small, no bucket). Rows are only inserted: the application has no
-- statement that changes or deletes one.
create table audit_log (
    -- Made by the application, so their order is that of time.
    id          uuid        primary key,
    at          timestamptz not null default now(),
    -- An API key, any caller of a server without keys, a user of the operating system, or a server by itself.
    actor_kind  text        not null check (actor_kind in ('key', 'anyone', 'os_user', 'server')),
    -- The key's id, the user's name, or the server's.
    actor       text        not null,
    -- The key's name at the time.
    actor_name  text,
    -- Noun and verb, such as provider.pause.
    action      text        not null check (action ~ '^[a-z_]+[.][a-z_]+$'),
    -- The id of what was changed.
    target      text,
    -- The client's address, or the command line of a host.
    source      text        not null,
    detail      jsonb       not null default '{}'
);
