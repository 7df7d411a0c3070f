set local lock_timeout = '5s';
-- webhook_deliveries is a control table: small, bounded, without a bucket.
-- The address that delivered a rejected webhook: bounds give each peer its share. Null: an older server kept it, or it
-- is an unmatched receipt.
alter table webhook_deliveries add column peer text;
-- SHA-256 over provider, reason, method, target and body: repeated deliveries of the same are one row. Null: not counted.
alter table webhook_deliveries add column content_hash bytea;
alter table webhook_deliveries add column deliveries bigint not null default 1;
-- Null: delivered once.
alter table webhook_deliveries add column last_received_at timestamptz;
create unique index webhook_deliveries_content on webhook_deliveries (content_hash);
