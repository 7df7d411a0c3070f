-- The work: one narrow row per message in `outbox` or `retry`, and none for any other.
--
-- Claiming raises lease_no (the fence), sets who holds it and for which provider, and moves next_attempt_at to the
-- end of the lease. A due row whose leased_by is not null lapsed: what became of it at leased_provider is unknown.
create table outbox (
    bucket          smallint    not null check (bucket between 0 and 255),
    message_id      uuid        not null,
    conversation_id uuid        not null,
    channel         text        not null check (channel in ('sms', 'mms', 'email')),
    -- The rule that the message matched when it was accepted; '': none. The processor matches again what the
    -- configuration no longer has.
    route           text        not null,
    priority        smallint    not null check (priority between 0 and 2),
    -- infinity: held, never due.
    next_attempt_at timestamptz not null,
    lease_no        integer     not null default 0 check (lease_no >= 0),
    leased_by       uuid,
    leased_provider text,
    attempt         integer     not null default 0 check (attempt >= 0),
    -- Waits for a receipt; when due, it is held instead of sent.
    reconciling     boolean     not null default false,
    expires_at      timestamptz,
    primary key (message_id, bucket),
    check ((leased_by is null) = (leased_provider is null))
) with (
    fillfactor = 80,
    -- The queue turns over many times its size: vacuum by rows, not by share, and without naps.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

create index outbox_due on outbox (route, priority, next_attempt_at);
create index outbox_expiring on outbox (expires_at) where expires_at is not null;
