//! What was kept is processed again, trusted or forgotten, each one and all that a filter matches.

use bytes::Bytes;
use http::Method;
use provider_simulator::twilio_signature;
use serde_json::{Value, json};
use service::Clock;
use testkit::{HttpClient, until};
use uuid::Uuid;

use crate::authentication::create_key;
use crate::console::{FORM, page, submit};
use crate::server::{
    CONFIG, PUBLIC_URL, Server, TWILIO_TOKEN, another_on, another_with, code, server, server_with,
};

const TWILIO: &str = "/api/webhooks/twilio-main";

/// Of [`CONFIG`], before the token was put right.
pub(crate) fn with_an_old_token() -> String {
    CONFIG.replace(TWILIO_TOKEN, "an-old-token")
}

pub(crate) async fn server_of(config: &str) -> Server {
    server_with(config, "127.0.0.1:0", Clock::System).await
}

/// A MessageSid of its own for each word.
pub(crate) fn sid_of(word: &str) -> String {
    let digits: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("SM{digits:0>32}")
}

/// An inbound message of Twilio's, signed with the true token.
pub(crate) async fn deliver(client: &HttpClient, word: &str, from: &str, text: &str) -> u16 {
    let form = [("Body", text), ("From", from), ("MessageSid", &*sid_of(word)), ("To", "+12025550100")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signature = twilio_signature(TWILIO_TOKEN, &format!("{PUBLIC_URL}{TWILIO}"), &form);
    let headers = [("content-type", FORM), ("x-twilio-signature", signature.as_str())];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    client.send(Method::POST, TWILIO, &headers, Bytes::from(body)).await.status.as_u16()
}

/// As [`deliver`], by somebody who knows no token.
pub(crate) async fn forge(client: &HttpClient, text: &str) {
    let headers = [("content-type", FORM), ("x-twilio-signature", "AAAA")];
    let body = format!("Body={text}&From=%2B12025550199&MessageSid={}&To=%2B12025550100", sid_of(text));
    client.send(Method::POST, TWILIO, &headers, Bytes::from(body)).await.expect(403);
}

pub(crate) async fn only_id(server: &Server) -> String {
    server.value("select id::text from webhook_deliveries").await
}

async fn process(client: &HttpClient, id: &str) -> testkit::Answer {
    submit(client, &format!("/quarantine/{id}/replay"), "").await
}

#[tokio::test]
async fn a_webhook_is_taken_in_once_what_was_wrong_is_put_right() {
    let server = server_of(&with_an_old_token()).await;
    assert_eq!(deliver(&server.client, "SM1", "+12025550199", "Hello").await, 403);
    let id = only_id(&server).await;
    let still = process(&server.client, &id).await.expect(200).text();
    assert!(still.contains("It still is not verified"), "{still}");

    let right = another_on(&server).await;
    server.execute("update webhook_deliveries set received_at = to_timestamp(1700000002)").await;
    process(&right, &id).await.expect(303);
    assert_eq!(server.value("select body from messages").await, "Hello");
    let listed = right.get("/api/messages").await.expect(200).json();
    assert_eq!(
        listed["messages"][0]["timestamp"], "2023-11-14T22:13:22.000000Z",
        "it came then, and not now"
    );
    assert_eq!(server.count("webhook_deliveries").await, 0);
    process(&right, &id).await.expect(404);
}

#[tokio::test]
async fn a_signature_that_is_good_for_minutes_is_verified_as_of_when_it_came() {
    let fixture = include_str!("../../../providers/tests/contract/telnyx/webhooks/inbound-sms.json");
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let config = |public_key: &str| {
        format!(
            "[[providers]]\nid = \"main\"\nkind = \"telnyx\"\napi_key = \"k\"\npublic_key = \"{public_key}\"\n"
        )
    };
    // Of another pair of keys (RFC 8032, section 7.1).
    let server = server_of(&config("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")).await;
    let headers: Vec<(&str, &str)> = fixture["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let body = fixture["body"].as_str().unwrap().to_owned();
    let target = "/api/webhooks/main";
    server.client.send(Method::POST, target, &headers, Bytes::from(body)).await.expect(403);
    let id = only_id(&server).await;

    let right = another_with(&server, &config("H7p2UDBbKORZ4B10t5m/CcnSgM10a3xz6umwB4oZtKk=")).await;
    let late = process(&right, &id).await.expect(200).text();
    assert!(late.contains("signed more than five minutes ago"), "{late}");
    server.execute("update webhook_deliveries set received_at = to_timestamp(1700000002)").await;
    process(&right, &id).await.expect(303);
    assert!(server.value("select body from messages").await.starts_with("Grüße"));
}

#[tokio::test]
async fn what_was_verified_by_a_secret_and_not_understood_is_not_verified_again() {
    let config = |statuses: &str| {
        format!(
            "[[providers]]\nid = \"gateway\"\nkind = \"http\"\nbase_url = \"http://127.0.0.1:9\"\n\
             url = \"/send?to={{to}}&text={{body}}\"\nmethod = \"GET\"\nsuccess_when = \"/ok = 1\"\n\
             channels = [\"sms\"]\nwebhook_secret = \"hush\"\nreceipt_reference = \"/reference\"\n\
             receipt_status = \"/status\"\nreceipt_statuses = \"{statuses}\"\n"
        )
    };
    let server = server_of(&config("sent = sent")).await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    server.lease(sent["id"].as_str().unwrap(), "gateway").await;
    let receipt = json!({"status": "arrived", "reference": sent["id"]});
    let refused = server.client.post("/api/webhooks/gateway?secret=hush", &receipt).await.expect(400);
    assert_eq!(code(&refused), "webhook_not_understood");
    let id = only_id(&server).await;
    let still = process(&server.client, &id).await.expect(200).text();
    assert!(still.contains("It still is not understood"), "{still}");

    let right = another_with(&server, &config("arrived = delivered")).await;
    process(&right, &id).await.expect(303);
    assert_eq!(server.value("select delivery_tag from messages").await, "delivered");
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

/// A server that does, or does not, know where numbers without a country's code are from.
fn at_home(is_known: bool) -> String {
    let region = if is_known { "[addresses]\ndefault_region = \"US\"\n" } else { "" };
    format!("{region}[webhooks]\nsecret = \"hush\"\n{CONFIG}")
}

#[tokio::test]
async fn a_generic_webhook_that_was_verified_is_taken_in_and_one_that_was_not_is_trusted_first() {
    let server = server_of(&at_home(false)).await;
    let inbound = json!({"from": "2025550199", "to": "2025550100", "body": "Hello", "x_id": "1"});
    let knows = server.client.clone().with_header("authorization", "Bearer hush");
    knows.post("/api/webhooks/sms", &inbound).await.expect(400);
    let right = another_with(&server, &at_home(true)).await;
    process(&right, &only_id(&server).await).await.expect(303);
    assert_eq!(server.count("messages").await, 1);

    let inbound = json!({"from": "2025550199", "to": "2025550100", "body": "Again", "x_id": "2"});
    right
        .clone()
        .with_header("authorization", "Bearer old")
        .post("/api/webhooks/sms", &inbound)
        .await
        .expect(401);
    let id = only_id(&server).await;
    let still = process(&right, &id).await.expect(200).text();
    assert!(still.contains("what it brought as a secret is not kept"), "{still}");
    let asked = right.get(&format!("/quarantine/{id}/trust")).await.expect(200).text();
    assert!(asked.contains("It does not prove that <b>generic</b> sent it"), "{asked}");
    assert_eq!(server.count("messages").await, 1);
    submit(&right, &format!("/quarantine/{id}/trust"), "").await.expect(303);
    assert_eq!(server.count("messages where body = 'Again'").await, 1);
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

#[tokio::test]
async fn somebody_who_knows_better_is_believed() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    forge(&server.client, "Hello").await;
    let id = only_id(&server).await;
    let path = format!("/quarantine/{id}/trust");
    until("a key is needed", async || (server.client.get(&path).await.status == 303).then_some(())).await;
    submit(&server.client, &path, "").await.expect(303);
    assert_eq!(server.count("messages").await, 0);
    let session = submit(&server.client, "/login", &format!("key={key}")).await.expect(303);
    let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
    let session = server.client.clone().with_header("cookie", &cookie);
    submit(&session, &path, "").await.expect(303);
    assert_eq!(server.value("select body from messages").await, "Hello");
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

#[tokio::test]
async fn somebodys_word_proves_nothing_to_the_next() {
    let server = server().await;
    let headers = [("content-type", FORM), ("x-twilio-signature", "AAAA")];
    server.client.send(Method::POST, TWILIO, &headers, Bytes::from("x=y")).await.expect(403);
    let id = only_id(&server).await;
    let refused = submit(&server.client, &format!("/quarantine/{id}/trust"), "").await.expect(200).text();
    assert!(refused.contains("is not understood"), "{refused}");
    assert_eq!(server.value("select reason from webhook_deliveries").await, "unverified");
}

#[tokio::test]
async fn a_receipt_is_applied_once_its_message_is_known() {
    let server = server().await;
    let target = TWILIO.to_owned();
    let sid = sid_of("SM1");
    let form = [("MessageSid", &*sid), ("MessageStatus", "delivered")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signature = twilio_signature(TWILIO_TOKEN, &format!("{PUBLIC_URL}{target}"), &form);
    let headers = [("content-type", FORM), ("x-twilio-signature", signature.as_str())];
    let body = Bytes::from(format!("MessageSid={sid}&MessageStatus=delivered"));
    server.client.send(Method::POST, &target, &headers, body).await.expect(200);
    let id = only_id(&server).await;
    let still = process(&server.client, &id).await.expect(200).text();
    assert!(still.contains("It still matches no message"), "{still}");
    assert!(!still.contains("Trust it"), "{still}");

    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    server.lease(sent["id"].as_str().unwrap(), "twilio-main").await;
    // As a settle leaves it, for kinds whose receipts do not bring our id back.
    server
        .execute(
            "insert into provider_refs (bucket, key_hash, message_id, attempt)
             select get_byte(key_hash, 0), key_hash, (select id from messages), 1 from webhook_deliveries",
        )
        .await;
    process(&server.client, &id).await.expect(303);
    assert_eq!(server.value("select delivery_tag from messages").await, "delivered");
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

#[tokio::test]
async fn what_is_wrong_next_is_noted_on_the_same_webhook() {
    let server = server_of(&with_an_old_token()).await;
    assert_eq!(deliver(&server.client, "SM1", "a sender that is none", "Hello").await, 403);
    let id = only_id(&server).await;
    let right = another_on(&server).await;
    for _ in 0..2 {
        let still = process(&right, &id).await.expect(200).text();
        assert!(still.contains("It still is not understood: from"), "{still}");
        assert!(still.contains("Webhook of twilio-main: not understood"), "{still}");
        let kept = server.value("select id || ' ' || reason || ' ' || detail from webhook_deliveries").await;
        assert!(kept.starts_with(&format!("{id} unparsable from ")), "{kept}");
    }
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn processed_twice_at_once_it_is_one_message() {
    let server = server_of(&with_an_old_token()).await;
    let right = another_on(&server).await;
    for number in 0..10 {
        let sid = format!("SM{number}");
        assert_eq!(deliver(&server.client, &sid, "+12025550199", "Hello").await, 403);
        let id = only_id(&server).await;
        let (one, other) = tokio::join!(process(&right, &id), process(&right, &id));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        // The second may find that nothing is left to do.
        assert!(matches!(statuses, [303, 303 | 404]), "{statuses:?}");
        assert_eq!(server.count("webhook_deliveries").await, 0);
        assert_eq!(server.count("messages").await, number + 1);
    }
}

#[tokio::test]
async fn of_what_is_cut_the_page_says_that_it_cannot_be_processed() {
    let server = server().await;
    forge(&server.client, &"x".repeat(300 << 10)).await;
    assert_eq!(server.count("webhook_deliveries where is_cut and octet_length(body) = 262144").await, 1);
    let id = only_id(&server).await;
    let shown = page(&server, &format!("/quarantine/{id}")).await;
    assert!(shown.contains("only the first 256 KiB are kept"), "{shown}");
    assert!(!shown.contains("Process again") && !shown.contains("Trust it"), "{shown}");
    for action in ["replay", "trust"] {
        let refused = submit(&server.client, &format!("/quarantine/{id}/{action}"), "").await.expect(200);
        assert!(refused.text().contains("It cannot be processed"), "{}", refused.text());
    }
    assert!(page(&server, "/quarantine").await.contains("(cut)"));
    assert_eq!(server.count("messages").await, 0);
}

#[tokio::test]
async fn forgetting_asks_first() {
    let server = server().await;
    forge(&server.client, "Hello").await;
    let path = format!("/quarantine/{}/forget", only_id(&server).await);
    let asked = page(&server, &path).await;
    assert!(asked.contains("is lost for good") && asked.contains("<b>twilio-main</b>"), "{asked}");
    assert_eq!(server.count("webhook_deliveries").await, 1);
    submit(&server.client, &path, "").await.expect(303);
    assert_eq!(server.count("webhook_deliveries").await, 0);
}

/// The form that a page asks by.
fn asked(page: &str) -> String {
    let field = |name: &str| {
        let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        format!("{name}={}", rest.split('"').next().unwrap())
    };
    ["action", "reason", "provider", "up_to"].map(field).join("&")
}

async fn until_done(client: &HttpClient, job: &str) -> String {
    until("the job is done", async || {
        let text = client.get(job).await.expect(200).text();
        text.contains("Done.").then_some(text)
    })
    .await
}

#[tokio::test]
async fn all_that_a_filter_matches_is_processed_in_its_order_and_what_cannot_be_stays() {
    let server = server_of(&with_an_old_token()).await;
    for number in 0..30 {
        let (sid, text) = (format!("SM{number}"), number.to_string());
        assert_eq!(deliver(&server.client, &sid, "+12025550199", &text).await, 403);
    }
    forge(&server.client, "forged").await;
    server.client.post("/api/webhooks/sms", &json!({"x_id": "1"})).await.expect(400);
    let right = another_on(&server).await;
    let list = page(&server, "/quarantine?reason=unverified").await;
    assert!(list.contains("not verified (31)") && list.contains("generic (0)"), "{list}");
    let filter = "reason=unverified&provider=twilio-main";
    let confirm = right.get(&format!("/quarantine/all?action=process&{filter}")).await.expect(200).text();
    assert!(confirm.contains("31 webhooks."), "{confirm}");
    let job = submit(&right, "/quarantine/all", &asked(&confirm)).await.expect(303);
    let done = until_done(&right, job.header("location")).await;
    assert!(done.contains("30 of 31 taken in, 1 still cannot be"), "{done}");
    assert_eq!(server.count("webhook_deliveries").await, 2);
    let texts = server.value("select string_agg(body, ' ' order by id) from messages").await;
    let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected.join(" "));

    let confirm = right.get(&format!("/quarantine/all?action=trust&{filter}")).await.expect(200).text();
    assert!(confirm.contains("None of them proves who sent it"), "{confirm}");
    let job = submit(&right, "/quarantine/all", &asked(&confirm)).await.expect(303);
    let done = until_done(&right, job.header("location")).await;
    assert!(done.contains("1 of 1 taken in"), "{done}");
    assert_eq!(server.count("messages where body = 'forged'").await, 1);
    assert_eq!(server.count("webhook_deliveries where provider_id = 'generic'").await, 1);
    submit(&right, &format!("{}/stop", job.header("location")), "").await.expect(303);
}

#[tokio::test]
async fn all_that_a_filter_matches_is_forgotten_and_not_what_came_since() {
    let server = server().await;
    forge(&server.client, "1").await;
    forge(&server.client, "2").await;
    server.client.post("/api/webhooks/sms", &json!({"x_id": "1"})).await.expect(400);
    let nothing = page(&server, "/quarantine/all?action=forget&reason=unmatched").await;
    assert!(
        !nothing.contains("type=\"submit\">Forget all") && nothing.contains(&Uuid::nil().to_string()),
        "{nothing}"
    );
    let confirm = page(&server, "/quarantine/all?action=forget&reason=unverified").await;
    assert!(confirm.contains("2 webhooks.") && confirm.contains("lost for good"), "{confirm}");
    forge(&server.client, "3").await;
    let answer = submit(&server.client, "/quarantine/all", &asked(&confirm)).await.expect(303);
    assert_eq!(answer.header("location"), "/quarantine?reason=unverified&done=forgotten&count=2");
    assert!(page(&server, answer.header("location")).await.contains("Forgotten: 2 webhooks."));
    let left = "select string_agg(provider_id || ' ' || reason, ', ' order by id) from webhook_deliveries";
    assert_eq!(server.value(left).await, "generic unparsable, twilio-main unverified");
}

#[tokio::test]
async fn a_filter_that_is_misspelt_means_nothing_rather_than_all() {
    let server = server().await;
    forge(&server.client, "1").await;
    for form in [
        "action=forget&reason=unverifed",
        "action=forget&up_to=now",
        "action=forget&reson=unparsable&up_to=019a2f7e-3c41-70a4-8000-3f1c52d0a7b1",
        "action=destroy",
        "action=trust&reason=unverified",
        "action=trust&provider=twilio-main",
    ] {
        submit(&server.client, "/quarantine/all", form).await.expect(400);
        server.client.get(&format!("/quarantine/all?{form}")).await.expect(400);
    }
    for list in ["/quarantine?reason=unverifed", "/quarantine?reson=unverified"] {
        server.client.get(list).await.expect(400);
    }
    // What is lost for good is what somebody has looked at.
    submit(&server.client, "/quarantine/all", "action=forget&reason=unverified").await.expect(400);
    assert_eq!(server.count("webhook_deliveries").await, 1);
}
