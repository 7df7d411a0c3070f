//! The role of docs/operations/database-role.sql is enough for both servers, and for no more.
#![expect(clippy::unwrap_used, reason = "a test")]

use provider_simulator::{DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN};
use serde_json::json;
use testkit::until;

const SQL: &str = include_str!("../../../docs/operations/database-role.sql");

/// The URL as this user.
fn as_user(url: &str, user: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "user" && name != "password")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    if url.set_username(user).is_ok() && url.set_password(Some("change-me")).is_ok() {
        return url.to_string();
    }
    // A socket's URL has no host, and so no place for a user.
    url.query_pairs_mut().append_pair("user", user).append_pair("password", "change-me");
    url.to_string()
}

#[tokio::test]
async fn both_servers_run_with_the_documented_rights_and_cannot_change_the_audit_log() {
    let database = testkit::database().await;
    let role = format!("app_server_{}", std::process::id());
    let owner = database.pool.get().await.unwrap();
    owner.batch_execute(&SQL.replace("app_server", &role)).await.unwrap();
    let url = as_user(&database.url, &role);

    let simulator =
        testkit::service("provider-simulator").listens_by("SIMULATOR_LISTEN").ready_path("/healthz");
    let simulator = simulator.start().await;
    let config = format!(
        "[[providers]]\nid = \"phones\"\nkind = \"twilio\"\nbase_url = \"{}\"\n\
         account_sid = \"{DEMO_TWILIO_ACCOUNT_SID}\"\nauth_token = \"{DEMO_TWILIO_AUTH_TOKEN}\"\n",
        simulator.url()
    );
    let api = testkit::service("app-apiserver").env("DATABASE_URL", &url).config(&config);
    let api_url = api.url();
    let mut api = api.env("APP_PUBLIC_URL", &api_url).start().await;
    let processor = testkit::service("app-processor").env("DATABASE_URL", &url).config(&config);
    let processor = processor.listens_by("APP_PROCESSOR_LISTEN").ready_path("/healthz");
    let mut processor = processor.env("APP_PUBLIC_URL", &api_url).start().await;

    let hello = json!({ "from": "+12025550100", "to": "+12025550199", "body": "Hello" });
    let sent = api.client().post("/api/messages/sms", &hello).await.expect(202).json();
    let path = format!("/api/messages/{}", sent["id"].as_str().unwrap());
    until("it is delivered", async || {
        let message = api.client().get(&path).await.expect(200).json();
        (message["delivery"] == "delivered").then_some(())
    })
    .await;
    let later = json!({
        "from": "+12025550100", "to": "+12025550199", "body": "Later", "send_at": "2027-06-01T00:00:00Z"
    });
    let waits = api.client().post("/api/messages/sms", &later).await.expect(202).json();
    let path = format!("/api/messages/{}", waits["id"].as_str().unwrap());
    api.client().post(&format!("{path}/cancel"), &json!({})).await.expect(200);
    api.client().post(&format!("{path}/retry"), &json!({})).await.expect(202);
    let inbound = json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "gateway_id": "1"});
    api.client().post("/api/webhooks/sms", &inbound).await.expect(200);
    api.client().post("/api/webhooks/phones", &json!({})).await.expect(403);
    for page in ["/", "/messages", "/outbox", "/providers", "/quarantine", "/keys", "/audit", "/api/audit"] {
        api.client().get(page).await.expect(200);
    }

    let server = app_db::connect(&url, 1).unwrap();
    let server = server.get().await.unwrap();
    for refused in [
        "update audit_log set source = 'elsewhere'",
        "delete from audit_log",
        "truncate audit_log",
        "drop table audit_log",
        "create table more ()",
        "update refinery_schema_history set version = 1",
    ] {
        let error = server.batch_execute(refused).await.unwrap_err();
        let code = error.code().unwrap().code().to_owned();
        assert_eq!(code, "42501", "insufficient_privilege: {refused}");
    }
    assert!(processor.terminate().await.success());
    assert!(api.terminate().await.success());
    let said = format!("{}{}", api.said(), processor.said());
    assert!(!said.contains("permission denied"), "{said}");
    drop(server);
    owner.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
}
