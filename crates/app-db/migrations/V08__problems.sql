-- Messages that a person may want to look at: held, failed, undelivered. Their lists scan this table, and
-- `messages` needs no index on what changes.
create table problems (
    bucket     smallint    not null check (bucket between 0 and 255),
    message_id uuid        not null,
    kind       text        not null check (kind in ('held', 'failed', 'undelivered')),
    created_at timestamptz not null default now(),
    primary key (message_id, bucket)
);
create index problems_by_kind on problems (kind, message_id);
