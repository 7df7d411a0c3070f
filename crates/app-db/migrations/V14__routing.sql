set local lock_timeout = '5s';
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
-- A message that a provider accepted and whose delivery is to be confirmed stays in the outbox until then: when its row
-- is due, another provider is asked. By whom it was accepted; and by whose carrier it was refused since. Null: nothing is
-- to be confirmed.
alter table outbox add column accepted_by text[], add column refused_by text[];
