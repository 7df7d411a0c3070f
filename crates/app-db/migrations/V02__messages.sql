-- Every message, both directions. Partitioned by id, which begins with the time, in weeks (app_db::partitions).
--
-- Settles and receipts change status, delivery and provider columns; no index and no predicate may name one of
-- them, so that these updates stay HOT. What lists need beyond ids and conversations stands in `outbox` and
-- `problems`.
--
-- The key begins with id, not bucket: ids increase, so inserts touch one leaf page instead of 256 (less WAL after
-- each checkpoint), and the list of all messages is a scan of the key. See docs/adr/0001.
create table messages (
    bucket              smallint    not null check (bucket between 0 and 255),
    id                  uuid        not null,
    conversation_id     uuid        not null,
    inbound_or_outbound text        not null check (inbound_or_outbound in ('inbound', 'outbound')),
    channel             text        not null check (channel in ('sms', 'mms', 'email')),
    endpoint_source     text        not null,
    endpoint_target     text        not null,
    subject             text,
    body                text        not null,
    -- A list of http(s) URLs; null: none.
    attachments         jsonb,
    -- What the client said about it; null: nothing.
    metadata            jsonb,
    priority            smallint    not null default 1 check (priority between 0 and 2),
    status_tag          text        not null check (status_tag in ('outbox', 'retry', 'ok', 'failed')),
    status_payload      jsonb,
    delivery_tag        text        not null check (delivery_tag in
                            ('none', 'pending', 'unknown', 'sent', 'undelivered', 'delivered', 'read', 'received')),
    provider_id         text,
    provider_message_id text,
    -- Provider calls that were answered with a verdict or whose outcome is unknown. Survives /retry.
    attempt             integer     not null default 0 check (attempt >= 0),
    -- The fence as it was when the outbox row went, so that a message that is queued again goes on above it.
    lease_no            integer     not null default 0 check (lease_no >= 0),
    -- The client's own time of the message.
    client_timestamp    timestamptz,
    send_at             timestamptz,
    expires_at          timestamptz,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (id, bucket),
    foreign key (bucket, conversation_id) references conversations (bucket, id),
    check (case status_tag
        when 'outbox' then delivery_tag = 'none'
        when 'retry' then delivery_tag in ('none', 'unknown')
        when 'failed' then delivery_tag = 'none'
        else delivery_tag <> 'none'
    end),
    check ((inbound_or_outbound = 'inbound') = (delivery_tag = 'received'))
) partition by range (id);

create index messages_of_conversation on messages (conversation_id, id);
