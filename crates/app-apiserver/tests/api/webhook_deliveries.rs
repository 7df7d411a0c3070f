//! What was kept, through the API: listed, shown, processed again, by operators.

use app_db::keys::Role;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::authentication::{create_key, create_key_of, with_key};
use crate::keys::counts;
use crate::quarantine::{deliver, forge, only_id, server_of, sid_of, with_an_old_token};
use crate::server::{another_on, code, field_codes, server};

const PATH: &str = "/api/webhook_deliveries";

#[tokio::test]
async fn what_was_kept_is_listed_newest_first_in_pages_and_by_what_is_wrong() {
    let server = server().await;
    for text in ["1", "2", "3"] {
        forge(&server.client, text).await;
    }
    server.client.post("/api/webhooks/sms", &json!({"x_id": "1"})).await.expect(400);
    let (mut met, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.client.get(&format!("{PATH}?limit=3{cursor}")).await.expect(200).json();
        met.extend(page["webhook_deliveries"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let reasons: Vec<&str> = met.iter().map(|kept| kept["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["unparsable", "unverified", "unverified", "unverified"]);
    let newest = &met[1];
    assert_eq!((&newest["provider_id"], &newest["is_cut"]), (&json!("twilio-main"), &json!(false)));
    assert_eq!(
        newest["body_bytes"],
        json!(format!("Body=3&From=%2B12025550199&MessageSid={}&To=%2B12025550100", sid_of("3")).len())
    );
    let count = async |query: &str| {
        let page = server.client.get(&format!("{PATH}?{query}")).await.expect(200).json();
        page["webhook_deliveries"].as_array().unwrap().len()
    };
    assert_eq!(count("reason=unverified").await, 3);
    assert_eq!(count("provider_id=generic").await, 1);
    assert_eq!(count("reason=unverified&provider_id=generic").await, 0);
    for (query, field) in [
        ("reason=unverifed", "reason: unknown_word"),
        ("provider=generic", "provider: unknown_field"),
        ("limit=0", "limit: out_of_range"),
    ] {
        let answer = server.client.get(&format!("{PATH}?{query}")).await.expect(400);
        assert_eq!(field_codes(&answer), [field]);
    }
    let other = server.client.get(&format!("{PATH}?reason=unverified{cursor}")).await.expect(400);
    assert_eq!(code(&other), "invalid_cursor");
}

#[tokio::test]
async fn one_is_shown_as_it_came_and_taken_in_once_what_was_wrong_is_put_right() {
    let server = server_of(&with_an_old_token()).await;
    assert_eq!(deliver(&server.client, "SM1", "+12025550199", "Hello").await, 403);
    let id = only_id(&server).await;
    let path = format!("{PATH}/{id}");
    let kept = server.client.get(&path).await.expect(200).json();
    assert_eq!((&kept["method"], &kept["target"]), (&json!("POST"), &json!("/api/webhooks/twilio-main")));
    let sid = sid_of("SM1");
    let body = format!("Body=Hello&From=%2B12025550199&MessageSid={sid}&To=%2B12025550100");
    assert_eq!(kept["body"], json!(body));
    assert_eq!(kept["headers"]["content-type"], json!(["application/x-www-form-urlencoded"]));
    assert_eq!(kept.get("body_base64"), None);

    let replay = format!("{path}/replay");
    let still = server.client.post(&replay, &Value::Null).await.expect(409);
    assert_eq!(code(&still), "not_replayable");
    assert!(
        still.json()["detail"].as_str().unwrap().starts_with("it still is not verified"),
        "{}",
        still.text()
    );
    let right = another_on(&server).await;
    right.post(&format!("{replay}?trust=true"), &Value::Null).await.expect(400);
    assert_eq!(right.post(&replay, &Value::Null).await.expect(200).json()["id"], json!(id));
    assert_eq!(server.value("select body from messages").await, "Hello");
    for gone in [right.get(&path).await, right.post(&replay, &Value::Null).await] {
        assert_eq!(code(&gone.expect(404)), "webhook_delivery_not_found");
    }
    right.get(&format!("{PATH}/latest")).await.expect(404);
}

#[tokio::test]
async fn a_body_that_is_no_text_is_shown_in_base64() {
    let server = server().await;
    let body = Bytes::from_static(&[0xff, 0x00]);
    server.client.send(Method::POST, "/api/webhooks/twilio-main", &[], body).await.expect(403);
    let kept = server.client.get(&format!("{PATH}/{}", only_id(&server).await)).await.expect(200).json();
    assert_eq!((&kept["body"], &kept["body_base64"]), (&Value::Null, &json!("/wA=")));
}

#[tokio::test]
async fn only_operators_see_what_was_kept() {
    let server = server().await;
    let operator = create_key(&server, 1).await;
    let application = create_key_of(&server.database, 2, Role::Application).await;
    counts(&server, &operator).await;
    counts(&server, &application).await;
    forge(&server.client, "1").await;
    let one = format!("{PATH}/{}", only_id(&server).await);
    server.client.get(PATH).await.expect(401);
    let client = with_key(&server.client, &application);
    for refused in [
        client.get(PATH).await,
        client.get(&one).await,
        client.get(&format!("{PATH}/{}", Uuid::nil())).await,
        client.post(&format!("{one}/replay"), &Value::Null).await,
    ] {
        assert_eq!(code(&refused.expect(403)), "not_an_operators_key");
    }
    with_key(&server.client, &operator).get(&one).await.expect(200);
}
