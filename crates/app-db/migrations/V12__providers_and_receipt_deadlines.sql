-- What each processor knows of each provider. Published at most once a second, and every ten seconds where nothing
-- changed: a row that is older than a minute is a vanished processor's, and counts as gone.
create table provider_states (
    provider_id text        not null,
    processor   uuid        not null,
    state       text        not null check (state in ('closed', 'open', 'half_open', 'paused', 'halted')),
    -- A stable word for why it is not closed.
    reason      text,
    since       timestamptz not null,
    -- When it changes by itself; null: not by time.
    until       timestamptz,
    in_flight   integer     not null check (in_flight >= 0),
    slots       integer     not null check (slots >= 0),
    -- Among its latest calls; while it is not closed, those that opened it.
    failures    integer     not null check (failures >= 0),
    latency_ms  real,
    updated_at  timestamptz not null default now(),
    primary key (provider_id, processor)
) with (fillfactor = 50);

-- Providers that an operator has taken out of use, at every processor.
create table provider_pauses (
    provider_id text        primary key,
    paused_at   timestamptz not null default now(),
    note        text
);

-- How far messages have been looked at for receipts that did not come: their ids increase with time, so a place among
-- them is enough, and no index names delivery. One row; whoever locks it does the next piece.
create table receipt_cursor (
    singleton   boolean primary key default true check (singleton),
    examined_to uuid    not null
);
insert into receipt_cursor (examined_to) values ('00000000-0000-0000-0000-000000000000');

-- Messages behind that place that must be looked at again: scheduled, retried, held or asked for again, and so handed
-- to a provider long after their id was made.
create table receipt_deadlines (
    bucket     smallint    not null check (bucket between 0 and 255),
    message_id uuid        not null,
    examine_at timestamptz not null,
    primary key (message_id, bucket)
);
create index receipt_deadlines_by_time on receipt_deadlines (examine_at);
