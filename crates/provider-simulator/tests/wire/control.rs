//! The ledger and the record of calls.

use http::Method;
use serde_json::json;

use crate::rig::{MESSAGE_ID, PLAIN, Rig, options, plain_mail};

#[tokio::test]
async fn the_ledger_counts_messages_and_duplicates_and_clears() {
    let rig = Rig::start(options()).await;
    rig.mail(&plain_mail()).await;
    rig.mail(&plain_mail()).await;
    rig.sms(&PLAIN).await;
    let summary = rig.get("/ledger?summary=true").await;
    let expected = json!({
        "count": 3, "distinct_message_ids": 1, "duplicates": 1, "calls": 3,
        "calls_by_answer": { "201": 1, "202": 2 },
    });
    assert_eq!(summary, expected);
    let newest = rig.get("/ledger?limit=1").await;
    assert_eq!(newest["messages"].as_array().unwrap().len(), 1);
    assert_eq!(newest["messages"][0]["kind"], "twilio");
    assert_eq!(
        rig.get(&format!("/ledger?message_id={MESSAGE_ID}")).await["messages"].as_array().unwrap().len(),
        2
    );
    assert_eq!(rig.call(Method::DELETE, "/ledger", &[], "").await.unwrap().status, 204);
    let summary = rig.get("/ledger?summary=true").await;
    assert_eq!((&summary["count"], &summary["calls"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn every_call_of_a_message_is_kept_with_its_time_and_answer() {
    let rig = Rig::start(options()).await;
    let rule = json!({ "fault": { "type": "throttle", "retry_after_s": 1 }, "times": 1 });
    rig.post("/faults", rule).await;
    assert_eq!(rig.mail(&plain_mail()).await.status, 429);
    assert_eq!(rig.mail(&plain_mail()).await.status, 202);
    let calls = rig.get(&format!("/calls?message_id={MESSAGE_ID}")).await;
    let answers: Vec<_> = calls["calls"].as_array().unwrap().iter().map(|call| &call["answer"]).collect();
    assert_eq!(answers, ["429", "202"]);
    let times = &rig.get("/ledger").await["messages"][0]["calls_at_ms"];
    let times: Vec<i64> = serde_json::from_value(times.clone()).unwrap();
    assert_eq!(times.len(), 2);
    assert!(times[0] <= times[1] && times[0] > 1_700_000_000_000);
}

#[tokio::test]
async fn a_browser_gets_a_page_with_everything_escaped() {
    let rig = Rig::start(options()).await;
    let form = [("From", "+12025550100"), ("To", "+12025550199"), ("Body", "<script>alert(1)</script>")];
    rig.sms(&form).await;
    let answer = rig.call(Method::GET, "/ledger", &[("accept", "text/html,*/*")], "").await.unwrap();
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("<script"));
}

#[tokio::test]
async fn waiting_for_a_count_ends_when_it_is_reached_or_the_time_is_over() {
    let rig = Rig::start(options()).await;
    let (ledger, _) = tokio::join!(rig.get("/ledger?summary=true&wait_count=1"), rig.sms(&PLAIN));
    assert_eq!(ledger["count"], 1);
    assert_eq!(rig.get("/ledger?summary=true&wait_count=9&wait_s=0").await["count"], 1);
}

#[tokio::test]
async fn health_is_ok_and_unknown_paths_say_so() {
    let rig = Rig::start(options()).await;
    assert_eq!(rig.call(Method::GET, "/healthz", &[], "").await.unwrap().status, 200);
    let answer = rig.call(Method::GET, "/v1/unknown", &[], "").await.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("/v1/unknown"));
}
