set local lock_timeout = '5s';
-- What a key is for: an operator's does everything, an application's sends and reads messages. Keys that were made before
-- do what they did.
alter table api_keys
    add column role text not null default 'operator' check (role in ('operator', 'application')),
    -- About when it was last used; null until then.
    add column last_used_at timestamptz;
