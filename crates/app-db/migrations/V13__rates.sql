-- A provider's rate, shared by all processors: when its budget would be used up at the configured rate (the theoretical
-- arrival time of the generic cell rate algorithm, ITU-T I.371), and what was given out last. One row for each provider
-- with a rate, updated in place.
create table provider_rates (
    provider_id text primary key,
    used_until timestamptz not null,
    given integer not null default 0
) with (fillfactor = 20);
-- Which provider the conversation's last inbound message came through: a reply goes the same way.
alter table conversations add column provider_id text;
