//! Plans: on a million messages, the claim, the settle, both lists and the walk along the receipt deadline are answered
//! from indexes alone.

use serde_json::Value;

use crate::messages::list::{Order, Source};
use crate::{Client, claim, conversations, floors, inbox, messages, receipt_deadlines, settle, threads};

/// A million messages in 50,000 conversations, a fifth of them still in the outbox, over two weeks.
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

    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at)
    select bucket, id, conversation_id, 'sms', 'sms', 1, created_at from messages where status_tag = 'outbox';

    analyze;";

/// An id as the application makes them: n milliseconds into this week, or the last.
const ID: &str = "
    create function id(n bigint, bucket integer) returns uuid language sql immutable as $$
        select (lpad(to_hex(ms), 12, '0') || '70' || lpad(to_hex(bucket), 2, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid
        from (select (extract(epoch from date_trunc('week', now()))::bigint * 1000 + n * 100 - 50000000) as ms) t
    $$;";

/// Loads with the planner's own choice of joins, then goes back to how our sessions plan.
async fn load(client: &Client, messages: u32) {
    let sql = LOAD.replace("1000000", &messages.to_string());
    let planner = |state: &str| format!("set enable_seqscan = {state}; set enable_hashjoin = {state};");
    let whole = format!("set statement_timeout = 0; {ID} {} {sql} {}", planner("on"), planner("off"));
    client.batch_execute(&whole).await.unwrap();
}

async fn plan(client: &Client, name: &str, sql: &str, arguments: &str) -> Value {
    client.batch_execute(&format!("prepare {name} as {sql}")).await.unwrap();
    let rows =
        client.query(&format!("explain (format json) execute {name}({arguments})"), &[]).await.unwrap();
    rows[0].get(0)
}

/// The scans of a plan: kind, and table or index.
fn scans(plan: &Value, found: &mut Vec<(String, String)>) {
    match plan {
        Value::Array(items) => items.iter().for_each(|item| scans(item, found)),
        Value::Object(node) => {
            if let (Some(Value::String(kind)), Some(Value::String(table))) =
                (node.get("Node Type"), node.get("Relation Name").or(node.get("Index Name")))
                && kind.contains("Scan")
            {
                found.push((kind.clone(), table.clone()));
            }
            node.values().for_each(|value| scans(value, found));
        }
        _ => {}
    }
}

/// A Tid Scan reads the row whose place is known.
const BY_INDEX: [&str; 5] =
    ["Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Tid Scan"];

#[tokio::test]
async fn claim_settle_and_lists_use_indexes_only_on_a_million_messages() {
    let database = testkit::database().await;
    let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
    load(&client, 1_000_000).await;
    let id = "(select max(id::text)::uuid from messages)";
    let id: uuid::Uuid = client.query_one(&format!("select {id}"), &[]).await.unwrap().get(0);
    let settle_arguments = format!(
        "array['{id}']::uuid[], array[1]::smallint[], array[1], array['ok'], array['pending'],
         array[null]::jsonb[], array[1], array[null]::float8[], array[true], array['p'], array['SM1'],
         array['{id}']::uuid[], array['sent'], '{id}', array[null]::bytea[], array[null]::text[],
         array[false], array[null]::text[]"
    );
    let window_arguments = |conversations: &str| {
        let any = "null, null, null, null, null, null";
        let max = uuid::Uuid::max();
        format!(
            "'{max}', 50, {conversations}, '{}', '{max}', {any}, 50, null, null, null, 1000, null, null, false",
            uuid::Uuid::nil()
        )
    };
    let claim_arguments = format!(
        "'sms', array[0, 1, 2]::smallint[], array['-infinity', '-infinity', '-infinity']::timestamptz[], 200,
         '{id}', 'p', 10"
    );
    let floor = "array['-infinity', '-infinity']::timestamptz[]";
    let have_due_arguments = format!("array['sms!a', 'sms'], {floor}, {floor}, {floor}");
    let everything = settle::Needs { later: true, reference: true, problem: true, confirming: true };
    let window = |source: Source| messages::list::window_sql(&source, Order::NewestFirst);
    let statements = [
        ("claim", claim::claim_sql().to_owned(), claim_arguments),
        ("have_due", floors::have_due_sql(), have_due_arguments),
        ("threads", threads::BEFORE.to_owned(), format!("array['{id}']::uuid[], array[1]::smallint[], 50")),
        ("settle", settle::settle_sql(settle::Needs::default()), settle_arguments.clone()),
        ("settle_all", settle::settle_sql(everything), settle_arguments),
        ("all", window(Source::All), window_arguments("null")),
        (
            "conversation",
            window(Source::Conversations(vec![id])),
            window_arguments(&format!("array['{id}']::uuid[]")),
        ),
        ("problems", window(Source::Problems), window_arguments("null")),
        ("outbox", window(Source::Outbox), window_arguments("null")),
        ("conversations", conversations::list_sql(), format!("now(), '{id}', 50")),
        ("inbox", inbox::list_sql(), format!("now(), '{id}', 50")),
        ("receipts", receipt_deadlines::NEXT.to_owned(), format!("'{}', '{id}', 2000", uuid::Uuid::nil())),
        ("receipts_again", receipt_deadlines::AGAIN.to_owned(), "2000".to_owned()),
    ];
    for mode in ["force_custom_plan", "force_generic_plan"] {
        client.batch_execute(&format!("deallocate all; set plan_cache_mode = {mode}")).await.unwrap();
        for (name, sql, arguments) in &statements {
            let plan = plan(&client, &format!("{name}_{mode}"), sql, arguments).await;
            let mut found = Vec::new();
            scans(&plan, &mut found);
            // Rows that the statement itself made: UNNEST, and what its own parts hand on.
            found.retain(|(kind, _)| kind != "Function Scan" && kind != "CTE Scan");
            assert!(!found.is_empty(), "{name}: {plan}");
            let wrong: Vec<_> = found.iter().filter(|(kind, _)| !BY_INDEX.contains(&kind.as_str())).collect();
            assert!(wrong.is_empty(), "{name} under {mode} reads {wrong:?}: {plan:#}");
            let sorts = plan.to_string().matches("\"Node Type\":\"Sort\"").count();
            assert!(*name != "claim" || sorts == 0, "the claim sorts the queue under {mode}: {plan:#}");
        }
    }
}

#[tokio::test]
async fn a_page_of_either_list_reads_about_as_many_rows_as_it_has() {
    let database = testkit::database().await;
    let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
    load(&client, 100_000).await;
    let max = uuid::Uuid::max();
    let nil = uuid::Uuid::nil();
    let all = messages::list::window_sql(&Source::All, Order::NewestFirst);
    for (name, sql, arguments) in [
        (
            "all",
            all,
            format!(
                "'{max}', 50, null, '{nil}', '{max}', null, null, null, null, null, null, 50, null, null, null, 1000, null, null, false"
            ),
        ),
        ("conversations", conversations::list_sql(), format!("now(), '{max}', 50")),
    ] {
        client.batch_execute(&format!("prepare page_{name} as {sql}")).await.unwrap();
        let explain = format!("explain (analyze, timing off, format json) execute page_{name}({arguments})");
        let plan: Value = client.query(&explain, &[]).await.unwrap()[0].get(0);
        let rows_read = rows_read(&plan);
        assert!(rows_read <= 500, "{name} reads {rows_read} rows: {plan:#}");
    }
}

/// Rows that the scans of an analysed plan returned or threw away, over all their loops.
fn rows_read(plan: &Value) -> u64 {
    match plan {
        Value::Array(items) => items.iter().map(rows_read).sum(),
        Value::Object(node) => {
            let number = |key: &str| node.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            let is_scan =
                node.get("Node Type").and_then(Value::as_str).is_some_and(|kind| kind.contains("Index"));
            let own = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let own = if is_scan { own as u64 } else { 0 };
            own + node.values().map(rows_read).sum::<u64>()
        }
        _ => 0,
    }
}
