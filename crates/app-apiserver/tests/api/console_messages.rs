//! The console's list of messages: filters, search, and what is done about all that match.

use testkit::until;

use crate::console::{page, submit};
use crate::server::server;

#[tokio::test]
async fn a_filtered_set_is_canceled_and_nothing_else() {
    let server = server().await;
    for number in 0..5 {
        server.send_sms("+12025550100", &format!("+1202555019{number}"), "Hello").await;
    }
    let confirm = page(&server, "/bulk?action=cancel&to=%2B12025550191").await;
    assert!(confirm.contains("<b>1</b> of them can be."), "{confirm}");
    submit(&server.client, "/bulk", "action=cancel&status=&to=%2B12025550191").await.expect(303);
    until("one is canceled", async || {
        let canceled = server.value("select count(*)::text from messages where status_tag = 'failed'").await;
        (canceled == "1").then_some(())
    })
    .await;
    let all =
        submit(&server.client, "/bulk", "action=cancel").await.expect(303).header("location").to_owned();
    until("all are canceled", async || page(&server, &all).await.contains("4 of 4 canceled").then_some(()))
        .await;
    submit(&server.client, "/bulk", "action=resend").await.expect(400);
    submit(&server.client, &format!("{all}/stop"), "").await.expect(303);
    submit(&server.client, "/jobs/019a2f7e-3c41-70a4-8000-3f1c52d0a7b1/stop", "").await.expect(404);
}

#[tokio::test]
async fn what_is_no_id_and_no_address_is_looked_for_in_what_messages_say() {
    let server = server().await;
    server.send_sms("+12025550100", "+12025550199", "Your parcel has arrived").await;
    let found = async |query: &str| {
        let answer = server.client.get(&format!("/search?q={query}")).await.expect(303);
        page(&server, answer.header("location")).await.contains("Your parcel has arrived")
    };
    assert!(found("PARCEL+has").await);
    assert!(found("5550199").await, "part of a number");
    assert!(found("parcel+channel:sms+since:1h").await);
    assert!(!found("parcel+channel:email").await);
    assert!(!found("parcel+until:1h").await);
    assert!(!found("nothing").await);
    let wrong = page(&server, "/messages?since=yesterday").await;
    assert!(wrong.contains("must be a time"), "{wrong}");
}

#[tokio::test]
async fn what_was_canceled_is_tried_again_only_where_just_that_is_asked_for() {
    let server = server().await;
    for to in ["+12025550191", "+12025550192"] {
        let sent = server.send_sms("+12025550100", to, "Hello").await;
        submit(&server.client, &format!("/messages/{}/cancel", sent["id"].as_str().unwrap()), "")
            .await
            .expect(303);
    }
    let all = page(&server, "/bulk?action=retry&status=failed").await;
    assert!(all.contains("<b>0</b> of them can be."), "{all}");
    let canceled = page(&server, "/bulk?action=retry&status=failed&code=canceled&to=%2B12025550191").await;
    assert!(canceled.contains("<b>1</b> of them can be."), "{canceled}");
    let list = server.client.get("/api/messages?code=canceled").await.expect(200).json();
    assert_eq!(list["messages"].as_array().unwrap().len(), 2);
    let list = server.client.get("/api/messages?code=canceled&provider_id=other").await.expect(200).json();
    assert!(list["messages"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_job_means_what_was_there_when_it_was_asked_for() {
    let server = server().await;
    let mut ids = Vec::new();
    for to in ["+12025550191", "+12025550192"] {
        let sent = server.send_sms("+12025550100", to, "Hello").await;
        ids.push(sent["id"].as_str().unwrap().to_owned());
    }
    // What a worker would have written.
    server
        .execute(
            "update messages set status_tag = 'failed', status_payload = '{\"code\": \"rejected\"}';
             insert into problems (bucket, message_id, kind) select bucket, id, 'failed' from messages;
             delete from outbox",
        )
        .await;
    let confirm = page(&server, "/bulk?action=retry&status=failed").await;
    let (_, as_of) = confirm.split_once("name=\"as_of\" value=\"").unwrap();
    let as_of = as_of.split('"').next().unwrap().replace(':', "%3A");
    server
        .execute(&format!("update messages set updated_at = now() + interval '1 s' where id = '{}'", ids[1]))
        .await;
    server.send_sms("+12025550100", "+12025550193", "Later").await;
    let form = format!("action=retry&status=failed&as_of={as_of}");
    let job = submit(&server.client, "/bulk", &form).await.expect(303).header("location").to_owned();
    until("it is done", async || page(&server, &job).await.contains("1 of 1 tried again").then_some(()))
        .await;
    let failed = server.value("select id::text from messages where status_tag = 'failed'").await;
    assert_eq!(failed, ids[1], "it failed again since");
}

#[tokio::test]
async fn what_a_job_would_mean_is_counted_to_the_end() {
    let server = server().await;
    for number in 0..3 {
        server.send_sms("+12025550100", &format!("+1202555019{number}"), "Hello").await;
    }
    let mut counted = server.client.stream("/live/bulk?action=cancel&found=0").await;
    counted.says("<b>3</b> of them can be.").await;
    server.client.get("/live/bulk?action=cancel&staus=failed").await.expect(400);
}

#[tokio::test]
async fn a_misspelt_filter_means_nothing_rather_than_everything() {
    let server = server().await;
    server.client.get("/bulk?action=cancel&staus=failed").await.expect(400);
    submit(&server.client, "/bulk", "action=cancel&staus=failed").await.expect(400);
    let list = page(&server, "/messages?staus=failed&to=%2B12025550191").await;
    assert!(list.contains("Staus is not taken here") && list.contains("value=\"+12025550191\""), "{list}");
    assert!(!list.contains("/bulk?"), "{list}");
}
