//! What a batch costs does not depend on what else is stored: PostgreSQL's own counters say how many rows each step
//! read, over a full outbox, by statements that were planned while every table was empty. No clock is asked, so this
//! holds on any machine.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::accept::{Accept, Accepted, accept};
use app_db::claim::{self, ClaimRequest, Claimed, Lease};
use app_db::receipts::{self, Applied, NewReceipt};
use app_db::receive::{Inbound, receive};
use app_db::settle::{Settlement, settle};
use app_db::{Pool, pool};
use model::{Delivery, NewMessage, OnUnknown, Outcome, Reason};
use testkit::outbox::{Outbox, accepted, rejected, unavailable};
use uuid::Uuid;

const ROWS: usize = 200;
const LEASE: Duration = Duration::from_secs(600);
const ROUTE: &str = "sms";

/// 20,000 due messages that stand before whatever is accepted now, all on another route, and as many settled ones.
const LOAD: &str = "
    set session_replication_role = replica;
    create function made_id(n bigint) returns uuid language sql as $$
        select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 60000), 12, '0') || '7000'
            || '8' || lpad(to_hex(n), 15, '0'))::uuid
    $$;
    insert into conversations (bucket, id, participants_hash, medium, participants)
    select get_byte(sha256(n::text::bytea), 0), made_id(n), sha256(n::text::bytea), 'phone', array['+1' || n]
    from generate_series(1, 20000) n;
    insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
        endpoint_target, body, status_tag, delivery_tag)
    select 0, made_id(n), made_id(n % 1000), 'outbound', 'sms', '+1', '+2', 'Hello',
        case when n % 2 = 0 then 'ok' else 'outbox' end, case when n % 2 = 0 then 'delivered' else 'none' end
    from generate_series(1, 40000) n;
    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
    select bucket, id, conversation_id, 'sms', 'other', 1, now() - interval '1 minute'
    from messages where status_tag = 'outbox';
    set session_replication_role = origin";

/// One connection, so that all statements are prepared once, and an outbox for what it knows to make.
struct Bench {
    outbox: Outbox,
    pool: Pool,
}

impl Bench {
    async fn new() -> Self {
        let outbox = Outbox::new().await;
        let pool = app_db::connect(&outbox.database.url, 1).unwrap();
        Self { outbox, pool }
    }

    /// Rows and index entries that this session's statements have read so far.
    async fn rows_read(&self) -> i64 {
        let client = pool::get(&self.pool).await.unwrap();
        client.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
        let read = "select (select sum(seq_tup_read) from pg_stat_user_tables)
                        + (select sum(idx_tup_read) from pg_stat_user_indexes)";
        client.query_one(&format!("select ({read})::int8"), &[]).await.unwrap().get(0)
    }

    async fn accept(&self, messages: Vec<NewMessage>) -> Vec<Uuid> {
        let request =
            |message| Accept { message, route: ROUTE.to_owned(), sticky: Vec::new(), idempotency: None };
        let group: Vec<Accept> = messages.into_iter().map(request).collect();
        let fixtures = &self.outbox.fixtures;
        let results = accept(&self.pool, &fixtures.ids, fixtures.now, &group).await;
        let id = |result| match result {
            Ok(Accepted::New(message)) => message.id,
            other => panic!("{other:?}"),
        };
        results.into_iter().map(id).collect()
    }

    async fn claim(&self, limit: usize) -> Vec<Claimed> {
        let client = pool::get(&self.pool).await.unwrap();
        let owner = self.outbox.owner;
        let request =
            ClaimRequest { route: ROUTE, provider_id: "p", owner, lease: LEASE, limit, floors: [None; 3] };
        claim::claim(&client, request).await.unwrap()
    }

    async fn settle(&self, claimed: &[Claimed], outcome: &Outcome) -> usize {
        let settlement = |row| self.outbox.settlement(row, outcome, OnUnknown::Hold);
        let settlements: Vec<Settlement> = claimed.iter().map(settlement).collect();
        let client = pool::get(&self.pool).await.unwrap();
        settle(&client, self.outbox.owner, &settlements).await.unwrap().written.len()
    }

    async fn extend(&self, claimed: &[Claimed]) -> usize {
        let leases: Vec<Lease> = claimed.iter().map(Claimed::lease).collect();
        let client = pool::get(&self.pool).await.unwrap();
        claim::extend(&client, self.outbox.owner, LEASE, &leases).await.unwrap().len()
    }

    async fn apply(&self, ids: &[Uuid], delivery: Delivery) -> usize {
        let receipt = |id: &Uuid| NewReceipt {
            message_id: Some(*id),
            attempt: Some(1),
            provider_id: "p".to_owned(),
            provider_message_id: None,
            delivery,
            provider_code: None,
            detail: None,
            temporary: false,
        };
        let receipts: Vec<NewReceipt> = ids.iter().map(receipt).collect();
        let fixtures = &self.outbox.fixtures;
        let applied = receipts::apply(&self.pool, &fixtures.ids, fixtures.now, &receipts).await;
        applied.iter().filter(|applied| matches!(applied, Ok(Applied::Changed { .. }))).count()
    }

    async fn receive(&self, messages: Vec<NewMessage>) -> usize {
        let inbound = |message: NewMessage| Inbound {
            provider_id: "p".to_owned(),
            provider_message_id: message.id.to_string(),
            files: Vec::new(),
            message,
        };
        let group: Vec<Inbound> = messages.into_iter().map(inbound).collect();
        let fixtures = &self.outbox.fixtures;
        let received = receive(&self.pool, &fixtures.ids, fixtures.now, &group).await;
        received.iter().filter(|received| matches!(received, Ok(received) if received.new)).count()
    }

    fn outbound(&self, count: usize) -> Vec<NewMessage> {
        (0..count).map(|to| self.outbox.fixtures.sms(9000, u16::try_from(to).unwrap())).collect()
    }

    fn inbound(&self, count: usize) -> Vec<NewMessage> {
        (0..count).map(|to| self.outbox.fixtures.inbound_sms(9001, u16::try_from(to).unwrap())).collect()
    }

    /// A message goes through everything, and is removed: every statement is planned over tables as good as empty.
    async fn plan_everything(&self) {
        for outcome in [unavailable(), rejected(), accepted()] {
            let ids = self.accept(self.outbound(1)).await;
            let claimed = self.claim(1).await;
            assert_eq!(self.extend(&claimed).await, 1);
            self.settle(&claimed, &outcome).await;
            self.apply(&ids, Delivery::Delivered).await;
        }
        self.receive(self.inbound(1)).await;
        let tables = "outbox, message_events, problems, inbound_keys, messages, conversations";
        self.outbox.execute(&format!("truncate {tables} cascade")).await;
        self.outbox.execute("vacuum analyze").await;
    }
}

/// Prints what a step read, and says whether it was little enough for the rows that it was about.
fn is_bounded(step: &str, before: i64, after: i64, per_row_max: usize) -> bool {
    let (read, max) = (after - before, per_row_max * ROWS);
    println!(
        "{step}: {:.1} rows and entries read for each, at most {per_row_max}",
        read as f64 / ROWS as f64
    );
    usize::try_from(read).unwrap() <= max
}

#[tokio::test]
async fn what_a_batch_reads_depends_on_the_batch_alone() {
    let bench = Bench::new().await;
    bench.plan_everything().await;
    bench.outbox.execute(LOAD).await;
    let mut too_many = Vec::new();
    let mut read = bench.rows_read().await;
    let mut note = async |step, per_row_max| {
        let now = bench.rows_read().await;
        if !is_bounded(step, read, now, per_row_max) {
            too_many.push(step);
        }
        read = bench.rows_read().await;
    };

    bench.accept(bench.outbound(ROWS)).await;
    note("accept, new conversations", 4).await;
    let known = bench.accept(bench.outbound(ROWS)).await;
    note("accept, known conversations", 4).await;
    assert_eq!(bench.receive(bench.inbound(ROWS)).await, ROWS);
    note("receive", 4).await;
    let first = bench.claim(ROWS).await;
    note("claim", 4).await;
    assert_eq!(bench.extend(&first).await, ROWS);
    note("extend", 4).await;
    assert_eq!(bench.settle(&first, &accepted()).await, ROWS);
    note("settle, accepted", 5).await;
    let second = bench.claim(ROWS).await;
    note("claim after others", 5).await;
    let uncertain = Outcome::Uncertain { reason: Reason::Timeout, detail: "10 s".to_owned() };
    assert_eq!(bench.settle(&second, &uncertain).await, ROWS);
    note("settle, held", 7).await;
    let ids: Vec<Uuid> = first.iter().map(|row| row.message_id).collect();
    assert_eq!(bench.apply(&ids, Delivery::Sent).await, ROWS);
    note("receipts after the settle", 6).await;
    assert_eq!(bench.apply(&known, Delivery::Delivered).await, ROWS);
    note("receipts that settle", 8).await;
    assert!(too_many.is_empty(), "these read more than they are about: {too_many:?}");
}
