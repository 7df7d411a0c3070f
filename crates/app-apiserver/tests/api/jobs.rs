//! Jobs on all that a filter matches: they wait for the database, are stopped, go on, and are a few at a time.

use testkit::until;

use crate::console::{page, submit};
use crate::quarantine::forge;
use crate::server::{Server, server};

/// Until the job's page says this.
async fn says(server: &Server, job: &str, words: &str) -> String {
    until(&format!("the job says {words:?}"), async || {
        let text = page(server, job).await;
        text.contains(words).then_some(text)
    })
    .await
}

const OWN_PID: &str = "select pg_backend_pid()";

/// Until a session waits for what this one holds.
async fn somebody_waits_for(server: &Server, pid: i32) {
    let waiting = format!("pg_stat_activity where {pid} = any(pg_blocking_pids(pid))");
    until("it is its turn", async || (server.count(&waiting).await > 0).then_some(())).await;
}

async fn begin(server: &Server, path: &str, form: &str) -> String {
    submit(&server.client, path, form).await.expect(303).header("location").to_owned()
}

#[tokio::test]
async fn a_job_waits_while_the_database_is_away_and_goes_on_when_it_is_back() {
    let server = server().await;
    for text in ["1", "2", "3"] {
        forge(&server.client, text).await;
    }
    let mut holder = server.database.pool.get().await.unwrap();
    let hold = holder.transaction().await.unwrap();
    hold.batch_execute("select from webhook_deliveries for update").await.unwrap();
    let job = begin(&server, "/quarantine/all", "action=trust&reason=unverified&provider=twilio-main").await;
    somebody_waits_for(&server, hold.query_one(OWN_PID, &[]).await.unwrap().get(0)).await;
    server.database.go_away().await;
    says(&server, &job, "It waits: The database cannot be reached").await;
    server.database.come_back().await;
    let done = says(&server, &job, "Done.").await;
    assert!(done.contains("3 of 3 taken in."), "{done}");
    let texts = server.value("select string_agg(body, ' ' order by id) from messages").await;
    assert_eq!(texts, "1 2 3");
}

#[tokio::test]
async fn a_stopped_job_leads_to_what_is_left_and_to_nothing_that_came_later() {
    let server = server().await;
    for number in 0..3 {
        server.send_sms("+12025550100", &format!("+1202555019{number}"), "Hello").await;
    }
    let mut holder = server.database.pool.get().await.unwrap();
    let hold = holder.transaction().await.unwrap();
    hold.batch_execute("select from outbox for update").await.unwrap();
    let job = begin(&server, "/bulk", "action=cancel").await;
    somebody_waits_for(&server, hold.query_one(OWN_PID, &[]).await.unwrap().get(0)).await;
    submit(&server.client, &format!("{job}/stop"), "").await.expect(303);
    hold.rollback().await.unwrap();
    let ended = says(&server, &job, "It ended early: Somebody stopped it.").await;
    assert!(ended.contains("1 of 3 canceled."), "{ended}");
    server.send_sms("+12025550100", "+12025550199", "Later").await;
    let (_, rest) = ended.split_once("href=\"/bulk?").unwrap();
    let left = format!("/bulk?{}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    let confirm = page(&server, &left).await;
    assert!(confirm.contains("<b>2</b> of them can be."), "{confirm}");
}

#[tokio::test]
async fn a_few_jobs_are_under_way_at_once_and_the_same_one_is_begun_once() {
    let server = server().await;
    for number in 0..4 {
        server.send_sms("+12025550100", &format!("+1202555019{number}"), "Hello").await;
    }
    let mut holder = server.database.pool.get().await.unwrap();
    let hold = holder.transaction().await.unwrap();
    hold.batch_execute("select from outbox for update").await.unwrap();
    let form = |number: u8| format!("action=cancel&to=%2B1202555019{number}&as_of=2100-01-01T00%3A00%3A00Z");
    let first = begin(&server, "/bulk", &form(0)).await;
    for number in 1..3 {
        assert_ne!(begin(&server, "/bulk", &form(number)).await, first);
    }
    assert_eq!(begin(&server, "/bulk", &form(0)).await, first);
    let refused = submit(&server.client, "/bulk", &form(3)).await.expect(409).text();
    assert!(refused.contains("at several jobs already"), "{refused}");
    let list = page(&server, "/messages").await;
    assert!(list.contains(&format!("Under way: <a href=\"{first}\"")), "{list}");
    hold.rollback().await.unwrap();
    says(&server, &first, "1 of 1 canceled.").await;
    let others = page(&server, "/quarantine").await;
    assert!(!others.contains("Under way"), "{others}");
}
