-- All messages between the same participants, whichever of them sent.
--
-- bucket is where a row lives: part of every key, so that the tables could be spread over machines by it. A
-- conversation's is the first byte of its participants' hash; its messages follow it.
create table conversations (
    bucket            smallint    not null check (bucket between 0 and 255),
    id                uuid        not null,
    -- SHA-256 over medium and participants (model::Participants::hash): the natural key, of fixed width.
    participants_hash bytea       not null check (length(participants_hash) = 32),
    medium            text        not null check (medium in ('phone', 'email')),
    -- Sorted, without duplicates; email addresses in lower case.
    participants      text[]      not null check (cardinality(participants) >= 1),
    created_at        timestamptz not null default now(),
    -- Each server advances it once a second at most, in a transaction of its own: a hot conversation is no hot row.
    last_message_at   timestamptz not null default now(),
    primary key (bucket, id),
    unique (bucket, participants_hash),
    check (bucket = get_byte(participants_hash, 0))
) with (fillfactor = 80);

create index conversations_by_activity on conversations (last_message_at desc, id desc);
-- Finds the conversations of an address: the way to `?from=` and `?to=` for an address that is rare.
create index conversations_by_participant on conversations using gin (participants);
