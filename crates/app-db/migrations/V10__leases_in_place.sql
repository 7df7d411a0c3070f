-- A lease has an end of its own instead of moving next_attempt_at: claiming then changes no indexed column, so it is
-- a HOT update (no index entries, less WAL, and fewer dead ones for the next claim to walk past). See docs/adr/0005.
alter table outbox add column leased_until timestamptz;
update outbox set leased_until = next_attempt_at, next_attempt_at = least(now(), next_attempt_at)
where leased_by is not null;
alter table outbox
    drop constraint outbox_check,
    add constraint outbox_lease_check check (
        (leased_by is null) = (leased_provider is null) and (leased_by is null) = (leased_until is null)
    );
-- Room on the page for the leased version of every row of it.
alter table outbox set (fillfactor = 40);
-- The same for messages: one batch settles all of a page's rows at once, and a settled row is longer. At 60 two of five
-- went to another page, with entries in both indexes; at 45 all stay, and table and indexes together are smaller.
do $$
declare
    weekly record;
begin
    for weekly in select inhrelid::regclass as name from pg_inherits where inhparent = 'messages'::regclass loop
        execute format('alter table %s set (fillfactor = 45)', weekly.name);
    end loop;
end
$$;
