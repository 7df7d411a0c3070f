//! Fills tables as months of use would have: many messages in a realistic mix over eight weeks, or a long backlog.
//! By SQL on the server, without the checks of foreign keys, which the statements fulfil by how they are made.

use anyhow::Context;
use app_db::partitions;
use chaos::installation::Installation;
use jiff::ToSpan;
use service::Clock;

use crate::people::{SENDER, phone_hash_sql, uuid_sql};
use crate::rig::{PROVIDER, ROUTE};

const WEEKS: i64 = 8;
/// Messages in one statement.
const CHUNK: usize = 500_000;
const PER_CONVERSATION: usize = 20;

/// Our sessions forbid what a bulk load needs.
const BULK: &str = "set statement_timeout = 0; set enable_hashjoin = on; set enable_seqscan = on;
    set session_replication_role = replica; set work_mem = '256MB'; set synchronous_commit = off";

/// People with their conversations: every tenth writes emails, the others text messages.
fn people_sql(people: usize) -> String {
    let number = "'+' || (12022000000 + p)";
    let email = "'person' || p || '@example.com'";
    format!(
        "create unlogged table generated_people as
         select p, is_email, address, ours, hash, get_byte(hash, 0)::smallint as bucket, {id} as conversation_id
         from (
             select p, p % 10 = 0 as is_email, case when p % 10 = 0 then {email} else {number} end as address,
                 case when p % 10 = 0 then 'desk@example.com' else '{SENDER}' end as ours,
                 case when p % 10 = 0
                     then sha256(('email' || E'\\n' || least({email}, 'desk@example.com') || E'\\n'
                         || greatest({email}, 'desk@example.com'))::bytea)
                     else {phone}
                 end as hash
             from generate_series(0, {people} - 1) as p
         ) as person;
         insert into conversations (bucket, id, participants_hash, medium, participants, created_at, last_message_at)
         select bucket, conversation_id, hash, case when is_email then 'email' else 'phone' end,
             array[least(address, ours), greatest(address, ours)], now() - interval '{WEEKS} weeks',
             now() - interval '1 hour' - (p::float8 / {people}) * interval '{WEEKS} weeks'
         from generated_people",
        id = uuid_sql("now() - interval '8 weeks'", "get_byte(hash, 0)", "p"),
        phone = phone_hash_sql(&format!("({number})"), &format!("'{SENDER}'")),
    )
}

/// A cube of chance: a tenth of the people have about half of the messages.
fn messages_sql(first: usize, last: usize, count: usize, people: usize) -> String {
    let time = format!("start + (n::float8 / {count}) * (interval '{WEEKS} weeks' - interval '1 hour')");
    format!(
        "create temporary table chunk on commit drop as
         select n, p.*, chance, inbound, at, {id} as id
         from (
             select n, random() as chance, random() < 0.3 as inbound, {time} as at,
                 floor({people} * power(random(), 3))::bigint as person
             from generate_series({first}, {last}) as n,
                 (select date_trunc('second', now()) - interval '{WEEKS} weeks' as start) as s
         ) as made
         join generated_people p on p.p = made.person;
         insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
             endpoint_target, subject, body, priority, status_tag, status_payload, delivery_tag, provider_id,
             provider_message_id, attempt, lease_no, created_at, updated_at)
         select bucket, id, conversation_id, case when inbound then 'inbound' else 'outbound' end,
             case when is_email then 'email' when n % 16 = 0 then 'mms' else 'sms' end,
             case when inbound then address else ours end, case when inbound then ours else address end,
             case when is_email then 'Your order' end,
             substr(repeat('Your parcel will be with you today between two and four. ', 6), 1, 20 + (n % 160)::int),
             1, case when inbound or chance >= 0.03 then 'ok' else 'failed' end,
             case when not inbound and chance < 0.03
                 then '{{\"code\": \"content_rejected\", \"provider_code\": \"21610\"}}'::jsonb end,
             case when inbound then 'received' when chance < 0.03 then 'none' when chance < 0.07 then 'undelivered'
                 when chance < 0.15 then 'sent' else 'delivered' end,
             '{PROVIDER}', 'SM' || md5(n::text), case when inbound then 0 else 1 end,
             case when inbound then 0 else 1 end, at, at + interval '3 seconds'
         from chunk order by n;
         insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt, lease_no,
             provider_id, code, created_at)
         select bucket, chunk.id, {event_id}, kind, status_tag, delivery_tag, 1, 1, '{PROVIDER}', code, at + step * interval '1 second'
         from chunk cross join lateral (
             values (0, case when chance < 0.03 then 'failed' else 'sent' end,
                     case when chance < 0.03 then 'failed' else 'ok' end,
                     case when chance < 0.03 then 'none' else 'pending' end,
                     case when chance < 0.03 then 'content_rejected' end),
                 (1, 'receipt', 'ok', 'sent', null),
                 (2, 'receipt', 'ok', case when chance < 0.07 then 'undelivered' else 'delivered' end, null)
         ) as event(step, kind, status_tag, delivery_tag, code)
         where not inbound and (step = 0 or (step = 1 and chance >= 0.03)
             or (step = 2 and chance >= 0.03 and (chance < 0.07 or chance >= 0.15)))
         order by n, step;
         insert into problems (bucket, message_id, kind, created_at)
         select bucket, id, case when chance < 0.03 then 'failed' else 'undelivered' end, at
         from chunk where not inbound and chance < 0.07",
        id = uuid_sql("at", "p.bucket", "n"),
        event_id = uuid_sql("at + step * interval '1 second'", "bucket", "n * 4 + step"),
    )
}

/// Stores `count` messages of the past eight weeks, and the people they are from or to; returns how many people.
///
/// # Errors
/// As the database gives them.
pub async fn stored(installation: &Installation, count: usize) -> anyhow::Result<usize> {
    let people = (count / PER_CONVERSATION).max(100);
    let mut client = installation.pool.get().await?;
    for weeks in 0..=WEEKS {
        let then = Clock::System.now().checked_sub((weeks * 7 * 24).hours())?;
        partitions::ensure(&mut client, then).await?;
    }
    client.batch_execute(BULK).await?;
    client.batch_execute(&people_sql(people)).await.context("people")?;
    for first in (0..count).step_by(CHUNK) {
        let last = (first + CHUNK).min(count) - 1;
        let transaction = client.transaction().await?;
        transaction.batch_execute(&messages_sql(first, last, count, people)).await.context("messages")?;
        transaction.commit().await?;
    }
    client.batch_execute("drop table generated_people").await?;
    // Statements that run in no transaction travel alone.
    client.batch_execute("vacuum analyze").await?;
    client.batch_execute("checkpoint").await?;
    end(client);
    Ok(people)
}

/// Stores `count` messages that are due, the oldest first, each in one of 1,000 conversations; they came in and
/// became due at 10,000 a second, while nothing was sent.
///
/// # Errors
/// As the database gives them.
pub async fn backlog(installation: &Installation, count: usize) -> anyhow::Result<()> {
    let mut client = installation.pool.get().await?;
    client.batch_execute(BULK).await?;
    let number = "'+' || (12022000000 + p)";
    client
        .batch_execute(&format!(
            "create unlogged table if not exists generated_backlog as
             select p, hash, {number} as address, get_byte(hash, 0)::smallint as bucket, {id} as conversation_id
             from (select p, {hash} as hash from generate_series(0, 999) as p) as person;
             insert into conversations (bucket, id, participants_hash, medium, participants)
             select bucket, conversation_id, hash, 'phone', array[least(address, '{SENDER}'), greatest(address, '{SENDER}')]
             from generated_backlog on conflict do nothing",
            id = uuid_sql("'2026-01-01Z'::timestamptz", "get_byte(hash, 0)", "p"),
            hash = phone_hash_sql(&format!("({number})"), &format!("'{SENDER}'")),
        ))
        .await?;
    for first in (0..count).step_by(CHUNK) {
        let last = (first + CHUNK).min(count) - 1;
        let transaction = client.transaction().await?;
        transaction
            .batch_execute(&format!(
                "create temporary table chunk on commit drop as
                 select made.*, {id} as id from (
                     select n, p.*, now() - interval '1 second' - ({count} - n) * interval '100 microseconds' as at
                     from generate_series({first}, {last}) as n join generated_backlog p on p.p = n % 1000
                 ) as made;
                 insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
                 select bucket, id, conversation_id, 'sms', '{ROUTE}', 1, at from chunk order by n;
                 insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
                     endpoint_target, body, status_tag, delivery_tag)
                 select bucket, id, conversation_id, 'outbound', 'sms', '{SENDER}', address,
                     'Your parcel will be with you today. This is number ' || n, 'outbox', 'none'
                 from chunk order by n",
                id = uuid_sql("at", "bucket", "n"),
            ))
            .await
            .context("a backlog")?;
        transaction.commit().await?;
    }
    // As every peer does after its own bulk insert.
    client.batch_execute("vacuum analyze outbox").await?;
    end(client);
    Ok(())
}

/// Beside what is [`stored`]: `recent` messages of the last hour that are settled, a few of them failed or undelivered for
/// one of ten causes, and `waiting` ones of its last ten minutes that are due, half of them after a failure.
///
/// # Errors
/// As the database gives them.
pub async fn outage(installation: &Installation, recent: usize, waiting: usize) -> anyhow::Result<()> {
    let mut client = installation.pool.get().await?;
    client.batch_execute(BULK).await?;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!(
            "create temporary table chunk on commit drop as
             select made.*, c.bucket, c.conversation_id, c.address, {id} as id from (
                 select n, false as waits, now() - n * interval '1 hour' / {recent} as at from generate_series(1, {recent}) as n
                 union all
                 select {recent} + n, true, now() - n * interval '10 minutes' / {waiting} from generate_series(1, {waiting}) as n
             ) as made join (
                 select row_number() over () as p, bucket, id as conversation_id,
                     array_to_string(array_remove(participants, '{SENDER}'), '') as address
                 from (select * from conversations where medium = 'phone' limit 1000) as picked
             ) as c on c.p = 1 + n % 1000;
             insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at, lease_no)
             select bucket, id, conversation_id, 'sms', '{ROUTE}', 1, at, n % 2 from chunk where waits order by at;
             insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
                 endpoint_target, body, status_tag, status_payload, delivery_tag, provider_id, created_at, updated_at)
             select bucket, id, conversation_id, 'outbound', 'sms', '{SENDER}', address,
                 'Your parcel will be with you today. This is number ' || n,
                 case when not waits and n % 20 = 0 then 'failed' when not waits then 'ok' when n % 2 = 0 then 'outbox'
                     else 'retry' end,
                 case when not waits and n % 20 < 2
                     then jsonb_build_object('code', 'content_rejected', 'provider_code', (n / 20 % 10)::text)
                     when waits and n % 2 = 1 then '{{\"code\": \"unavailable\"}}'::jsonb end,
                 case when waits or n % 20 = 0 then 'none' when n % 20 = 1 then 'undelivered' else 'delivered' end,
                 case when not waits or n % 2 = 1 then '{PROVIDER}' end, at, now()
             from chunk order by at;
             insert into problems (bucket, message_id, kind, created_at)
             select bucket, id, case n % 20 when 0 then 'failed' else 'undelivered' end, at
             from chunk where not waits and n % 20 < 2",
            id = uuid_sql("made.at", "c.bucket", "n"),
        ))
        .await
        .context("an outage")?;
    transaction.commit().await?;
    client.batch_execute("vacuum analyze outbox").await?;
    end(client);
    Ok(())
}

/// Ends a session that is not as ours are any more.
fn end(client: app_db::Client) {
    drop(app_db::Client::take(client));
}
