-- What happened to a message, appended by settle, receipt, cancel, hold and every unknown outcome. Accepting
-- writes none: the message's own row is its first event. Partitioned by message_id, in the same weeks as messages.
create table message_events (
    bucket       smallint    not null check (bucket between 0 and 255),
    message_id   uuid        not null,
    id           uuid        not null,
    kind         text        not null check (kind in ('sent', 'retrying', 'failed', 'canceled', 'outcome_unknown',
                     'held', 'requeued', 'receipt')),
    status_tag   text        not null check (status_tag in ('outbox', 'retry', 'ok', 'failed')),
    delivery_tag text        not null check (delivery_tag in
                     ('none', 'pending', 'unknown', 'sent', 'undelivered', 'delivered', 'read', 'received')),
    attempt      integer     not null,
    lease_no     integer,
    provider_id  text,
    code         text,
    provider_code text,
    detail       text,
    created_at   timestamptz not null default now(),
    primary key (message_id, id, bucket)
) partition by range (message_id);
