set local lock_timeout = '5s';
-- Of a webhook that is not verified, only the beginning is kept: such a one can be looked at, and not be processed again.
alter table webhook_deliveries add column is_cut boolean not null default false;
-- Until now the words said so.
update webhook_deliveries set is_cut = true, detail = regexp_replace(detail, ' \(the body is cut\)$', '')
where reason = 'unverified' and detail like '% (the body is cut)';
