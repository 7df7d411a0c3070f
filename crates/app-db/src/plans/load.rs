//! A large database: a million messages, and rows in every table that grows with them.

use uuid::Uuid;

use crate::Client;

/// Messages in 50,000 conversations over two weeks, a fifth of them still in the outbox: of these, half are due, the
/// others scheduled. Every tenth has events, files and a problem.
const LOAD: &str = "
    insert into conversations (bucket, id, participants_hash, medium, participants, last_message_at)
    select get_byte(hash, 0), id(n, get_byte(hash, 0)), hash, 'phone', array['+1202' || n, '+1303' || n],
        now() - n * interval '1 second'
    from generate_series(1, 50000) n, lateral (select sha256(n::text::bytea) as hash) h;

    insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
        endpoint_target, body, status_tag, delivery_tag)
    select c.bucket, id(n, c.bucket), c.id, 'outbound', 'sms', c.participants[1], c.participants[2], 'Hello',
        case when n % 5 = 0 then 'outbox' else 'ok' end, case when n % 5 = 0 then 'none' else 'delivered' end
    from generate_series(1, 1000000) n
    join (select bucket, id, participants, row_number() over () as number from conversations) c
        on c.number = 1 + n % 50000;

    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at, expires_at)
    select bucket, id, conversation_id, 'sms', 'sms', 1,
        case when get_byte(uuid_send(id), 15) % 2 = 0 then created_at else created_at + interval '1 year' end,
        case when get_byte(uuid_send(id), 15) % 4 = 0 then created_at + interval '2 years' end
    from messages where status_tag = 'outbox';

    insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt)
    select bucket, id, id, 'sent', 'ok', 'pending', 1 from messages where get_byte(uuid_send(id), 15) % 10 = 0;
    insert into problems (bucket, message_id, kind)
    select bucket, id, 'failed' from messages where get_byte(uuid_send(id), 15) % 10 = 0;
    insert into media (bucket, id, message_id, filename, content_type, bytes)
    select bucket, id, id, 'a.txt', 'text/plain', 'text' from messages where get_byte(uuid_send(id), 15) % 10 = 0;
    insert into receipt_deadlines (bucket, message_id, examine_at)
    select bucket, id, now() from messages where get_byte(uuid_send(id), 15) % 10 = 0;
    insert into conversation_reads (bucket, conversation_id, read_to) select bucket, id, id from conversations;

    insert into idempotency_keys (bucket, key_hash, fingerprint, message_id, created_at)
    select get_byte(hash, 0), hash, hash, id(n, 0), now() - (100000 - n) * interval '2 seconds'
    from generate_series(1, 100000) n, lateral (select sha256(n::text::bytea) as hash) h;
    insert into inbound_keys (bucket, key_hash, message_id, created_at)
    select bucket, key_hash, message_id, created_at from idempotency_keys;
    insert into provider_refs (bucket, key_hash, message_id, attempt, created_at)
    select bucket, key_hash, message_id, 1, created_at from idempotency_keys;
    insert into webhook_deliveries (id, provider_id, reason, detail, method, target, headers, body, key_hash)
    select id(n, 0), 'p', 'unmatched', '', 'POST', '/', '{}', '', sha256(n::text::bytea)
    from generate_series(1, 5000) n;

    analyze;";

/// An id as the application makes them: n milliseconds into this week, or the last.
const ID: &str = "
    create function id(n bigint, bucket integer) returns uuid language sql immutable as $$
        select (lpad(to_hex(ms), 12, '0') || '70' || lpad(to_hex(bucket), 2, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid
        from (select (extract(epoch from date_trunc('week', now()))::bigint * 1000 + n * 100 - 50000000) as ms) t
    $$;";

/// Rows of the loaded database that arguments name.
pub(super) struct Sample {
    /// The newest message that is settled, and its bucket.
    pub(super) message: Uuid,
    pub(super) bucket: i16,
    pub(super) conversation: Uuid,
    /// A message in the outbox.
    pub(super) waiting: Uuid,
    pub(super) waiting_bucket: i16,
    /// A file of some message.
    pub(super) file: Uuid,
    /// An id that no row has.
    pub(super) new: Uuid,
    /// An expression: the hash of a row in each table of keys and of a conversation.
    pub(super) hash: &'static str,
    pub(super) new_hash: &'static str,
    /// A week without messages, by its first ids.
    pub(super) old_week: (Uuid, Uuid),
}

/// Far longer than a busy machine needs for the load.
const LOAD_LIMIT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Loads with the planner's own choice of joins, then goes back to how our sessions plan.
pub(super) async fn load(client: &Client, messages: u32) {
    let sql = LOAD.replace("1000000", &messages.to_string());
    let planner = |state: &str| format!("set enable_seqscan = {state}; set enable_hashjoin = {state};");
    let whole = format!("set statement_timeout = 0; {ID} {} {sql} {}", planner("on"), planner("off"));
    client.allow(LOAD_LIMIT);
    client.batch_execute(&whole).await.unwrap();
}

/// What there is to name after [`load`].
pub(super) async fn sample(client: &Client) -> Sample {
    let newest = |table: &str, id: &str, filter: &str| {
        format!("select {id}, bucket from {table} where {filter} order by {id} desc limit 1")
    };
    let one = async |sql: String| -> (Uuid, i16) {
        let row = client.query_one(&sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let (message, bucket) = one(newest("messages", "id", "status_tag = 'ok'")).await;
    let (waiting, waiting_bucket) = one(newest("outbox", "message_id", "true")).await;
    let (file, _) = one(newest("media", "id", "true")).await;
    let conversation = "select conversation_id, bucket from messages where id = ";
    let (conversation, _) = one(format!("{conversation}'{message}'")).await;
    let id = |time: &str| model::id::first_id_at(time.parse().unwrap());
    Sample {
        message,
        bucket,
        conversation,
        waiting,
        waiting_bucket,
        file,
        // In the week of the others, and above them.
        new: Uuid::from_u128(message.as_u128() | 0xffff),
        hash: "sha256('1'::bytea)",
        new_hash: "sha256('new'::bytea)",
        old_week: (id("2020-01-06T00:00:00Z"), id("2020-01-13T00:00:00Z")),
    }
}
