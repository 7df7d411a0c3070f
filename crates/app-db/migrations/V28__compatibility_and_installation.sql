-- Two control tables, of one row each.

-- The oldest binary that this schema is good for, as the newest schema version that the binary knows. A binary starts
-- on a newer schema than its own while its version is not below this. A migration that takes something away that older
-- binaries need (contracts) raises it in its own file; one that only adds (expands) leaves it as it is.
create table schema_compat (
    singleton     boolean primary key default true check (singleton),
    oldest_binary integer not null
);
insert into schema_compat (oldest_binary) values (28);

-- Which database this is: written by the first `app migrate` that knows this table, and by `app adopt`. Where the
-- database's own identity or the configured name differs from this row, the database is a copy, and nothing is sent.
create table installation (
    singleton         boolean     primary key default true check (singleton),
    -- Of the PostgreSQL cluster; null: the role may not read it.
    system_identifier bigint,
    database_oid      bigint      not null,
    -- [installation] name; null: none is configured.
    name              text,
    recorded_at       timestamptz not null default now()
);
