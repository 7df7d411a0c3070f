//! Puts many due messages straight into the tables, as accepting them one by one would have: half a million in
//! seconds. The only place of this crate that writes SQL into app-db.

use anyhow::Context;

use crate::installation::Installation;

/// SMS that wait for a route.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    pub route: &'static str,
    /// The first recipient's number, without the plus; the others follow it.
    pub first_number: i64,
    pub count: usize,
}

pub const MESSAGES_PER_CONVERSATION: i64 = 500;

/// Ids are version 7 with the bucket in their seventh byte, made of the time and the row's number.
const ROWS: &str = "
    create temporary table backlog on commit drop as
    with person as (
        select p as number, '+' || ($1::bigint + p) as target,
            sha256(('+12025550100,+' || ($1::bigint + p))::bytea) as hash
        from generate_series(0, ($2::bigint - 1) / $3::bigint) as p
    ), time as (
        select lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') as ms
    )
    select get_byte(hash, 0)::smallint as bucket, hash, target, n as number,
        (ms || '70' || lpad(to_hex(get_byte(hash, 0)), 2, '0') || '8fff' || lpad(to_hex(person.number), 12, '0'))::uuid
            as conversation_id,
        (ms || '70' || lpad(to_hex(get_byte(hash, 0)), 2, '0') || '8000' || lpad(to_hex(n), 12, '0'))::uuid as id
    from generate_series(0, $2::bigint - 1) as n
    join person on person.number = n / $3::bigint
    cross join time";

const CONVERSATIONS: &str = "
    insert into conversations (bucket, id, participants_hash, medium, participants)
    select distinct bucket, conversation_id, hash, 'phone', array['+12025550100', target] from backlog";

const OUTBOX: &str = "
    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
    select bucket, id, conversation_id, 'sms', $1, 1, now() from backlog order by number";

const MESSAGES: &str = "
    insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
        endpoint_target, body, status_tag, delivery_tag)
    select bucket, id, conversation_id, 'outbound', 'sms', '+12025550100', target, 'message ' || number, 'outbox',
        'none'
    from backlog order by number";

impl Installation {
    /// Stores a backlog, due now, and tells the processors.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn store(&self, backlog: Backlog) -> anyhow::Result<()> {
        let count = i64::try_from(backlog.count)?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        // Our sessions forbid what a bulk load needs: scans, hash joins, minutes.
        transaction
            .batch_execute(
                "set local statement_timeout = 0; set local enable_hashjoin = on; set local enable_seqscan = on",
            )
            .await?;
        // A statement that makes a table takes no parameters.
        let rows = ROWS
            .replace("$1", &backlog.first_number.to_string())
            .replace("$2", &count.to_string())
            .replace("$3", &MESSAGES_PER_CONVERSATION.to_string());
        transaction.batch_execute(&rows).await.context("the backlog's rows")?;
        transaction.execute(CONVERSATIONS, &[]).await.context("its conversations")?;
        transaction.execute(OUTBOX, &[&backlog.route]).await.context("its outbox rows")?;
        transaction.execute(MESSAGES, &[]).await.context("its messages")?;
        transaction.commit().await?;
        Ok(app_db::wake::notify(&client).await?)
    }
}
