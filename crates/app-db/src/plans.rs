//! Plans: on a million messages every statement of the crate is answered from indexes, and reads about as many rows as
//! its answer needs. `statements` is the list; a test of `testkit` (tidy) finds a statement that is missing there.

mod load;
mod statements;

use serde_json::Value;

use self::load::{load, sample};
use self::statements::Statement;
use crate::Client;

/// A Tid Scan reads the row whose place is known.
const BY_INDEX: [&str; 5] =
    ["Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Tid Scan"];

/// Rows that the statement itself made: UNNEST, and what its own parts hand on.
const OWN_ROWS: [&str; 2] = ["Function Scan", "CTE Scan"];

/// Tables of some dozens of rows: one for a key, a provider, a processor, a migration. Reading them in whole is cheaper
/// than any index.
const SMALL: [&str; 9] = [
    "api_keys",
    "console_sessions",
    "provider_states",
    "provider_pauses",
    "provider_rates",
    "receipt_cursor",
    "refinery_schema_history",
    "schema_compat",
    "installation",
];

/// A part of a plan that reads a table or an index.
struct Scan {
    kind: String,
    table: String,
    /// Over all its loops: rows that it returned or threw away.
    rows: f64,
}

/// Runs the statement under EXPLAIN and takes it back.
async fn analyze(client: &Client, statement: &Statement, name: &str) -> Result<Value, tokio_postgres::Error> {
    let arguments = match statement.arguments.as_str() {
        "" => String::new(),
        arguments => format!("({arguments})"),
    };
    let bitmap = if statement.bitmap { "set local enable_bitmapscan = on" } else { "" };
    client.batch_execute(&format!("begin; {bitmap}")).await?;
    let explained = async {
        client.batch_execute(&format!("prepare {name} as {}", statement.sql)).await?;
        let options = "analyze, buffers, timing off, format json";
        client.query_one(&format!("explain ({options}) execute {name}{arguments}"), &[]).await
    };
    let explained = explained.await;
    client.batch_execute("rollback").await?;
    Ok(explained?.get(0))
}

fn scans(plan: &Value, found: &mut Vec<Scan>) {
    match plan {
        Value::Array(items) => items.iter().for_each(|item| scans(item, found)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
            let number = |key: &str| node.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            if let (Some(kind), Some(table)) =
                (text("Node Type"), text("Relation Name").or_else(|| text("Index Name")))
                && kind.contains("Scan")
            {
                let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
                let rows = (number("Actual Rows") + removed) * number("Actual Loops");
                found.push(Scan { kind, table, rows });
            }
            node.values().for_each(|value| scans(value, found));
        }
        _ => {}
    }
}

/// What is wrong with how the statement reads.
fn complaint(statement: &Statement, plan: &Value) -> Option<String> {
    let mut found = Vec::new();
    scans(plan, &mut found);
    found.retain(|scan| !OWN_ROWS.contains(&scan.kind.as_str()));
    let is_allowed = |scan: &Scan| {
        BY_INDEX.contains(&scan.kind.as_str())
            || SMALL.contains(&scan.table.as_str())
            || scan.table.starts_with("pg_")
            || statement.whole.is_some_and(|(table, _)| table == scan.table)
    };
    if let Some(scan) = found.iter().find(|scan| !is_allowed(scan)) {
        return Some(format!("{} of {}", scan.kind, scan.table));
    }
    if statement.whole.is_some() {
        return None;
    }
    let large = found.iter().filter(|scan| !scan.table.starts_with("pg_"));
    let rows: f64 = large.map(|scan| scan.rows).sum();
    (rows > statement.rows_max as f64).then(|| format!("{rows} rows read, at most {}", statement.rows_max))
}

#[tokio::test]
async fn every_statement_reads_by_index_and_only_what_it_needs_of_a_million_messages() {
    let database = testkit::database().await;
    let client = crate::connect(&database.url, 1).unwrap().get().await.unwrap();
    load(&client, 1_000_000).await;
    let statements = statements::all(&sample(&client).await);
    let mut complaints = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        client.batch_execute(&format!("deallocate all; set plan_cache_mode = {mode}")).await.unwrap();
        for (number, statement) in statements.iter().enumerate() {
            let plan = match analyze(&client, statement, &format!("s{number}_{mode}")).await {
                Ok(plan) => plan,
                Err(error) => {
                    complaints.push(format!("{} under {mode}: {error:?}", statement.name));
                    continue;
                }
            };
            if let Some(complaint) = complaint(statement, &plan) {
                complaints.push(format!("{} under {mode}: {complaint}\n{plan:#}", statement.name));
            }
            let sorts = plan.to_string().contains("\"Node Type\":\"Sort\"");
            if sorts && statement.name.contains("claim_sql") {
                complaints.push(format!("{} sorts the queue under {mode}: {plan:#}", statement.name));
            }
        }
    }
    let exceptions = statements.iter().filter_map(|statement| Some((statement.name, statement.whole?)));
    for (name, (table, why)) in exceptions {
        println!("{name} reads all of {table}: {why}");
    }
    println!("{} statements, {} complaints", statements.len(), complaints.len());
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}
