-- Attachments whose bytes came with an inbound message. Served under /api/media/{id}; they go with their message's
-- week.
create table media (
    bucket       smallint    not null check (bucket between 0 and 255),
    id           uuid        not null,
    message_id   uuid        not null,
    filename     text        not null,
    content_type text        not null,
    bytes        bytea       not null,
    created_at   timestamptz not null default now(),
    primary key (id, bucket)
);
alter table media alter column bytes set storage external;
create index media_by_message on media (message_id);
