-- Cell tables: idempotency_keys, inbound_keys, provider_refs, outbox.
--
-- Old keys are found by their time, in order, so that a cleaning reads what it deletes and nothing else. The block
-- ranges (BRIN) that were to find them cannot: our sessions allow no bitmap scan, and ranges whose space is used again
-- keep the oldest time that they ever had.
--
-- Building an index keeps writers of its table waiting. A large installation builds the four beforehand, one by one,
-- with CREATE INDEX CONCURRENTLY and these names; then this migration finds them.
set local lock_timeout = '5s';
create index if not exists idempotency_keys_by_time on idempotency_keys (created_at);
create index if not exists inbound_keys_by_time on inbound_keys (created_at);
create index if not exists provider_refs_by_time on provider_refs (created_at);
drop index if exists idempotency_keys_by_age;
drop index if exists inbound_keys_by_age;
drop index if exists provider_refs_by_age;

-- Messages that expire, without the held ones, which do not: the sweep for expired messages passes no held row.
create index if not exists outbox_expiring_unless_held on outbox (expires_at)
    where expires_at is not null and next_attempt_at < 'infinity';
drop index if exists outbox_expiring;
