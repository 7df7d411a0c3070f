//! What comes while the database is away for a moment.

use bytes::Bytes;
use http::Method;

use crate::server::{PUBLIC_URL, code, server};
use crate::webhooks::{SID, TWILIO, inbound_sms, post_twilio};

/// Twilio delivers once: a 503 would lose it.
#[tokio::test]
async fn what_comes_while_the_database_is_away_for_a_moment_is_stored_when_it_is_back() {
    let server = server().await;
    server.database.go_away().await;
    let url = format!("{PUBLIC_URL}{TWILIO}");
    let message = inbound_sms(SID);
    let back = async {
        // Asked after the webhook was sent, and answered at once.
        assert_eq!(code(&server.client.get("/api/messages").await.expect(503)), "database_unavailable");
        server.database.come_back().await;
    };
    let (answer, ()) = tokio::join!(post_twilio(&server, TWILIO, &url, &message), back);
    answer.expect(200);
    let listed = server.client.get("/api/messages").await.expect(200).json();
    assert_eq!(listed["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_taken_in_is_kept_although_the_database_is_away_for_a_moment() {
    let server = server().await;
    server.database.go_away().await;
    let forged = server.client.send(Method::POST, TWILIO, &[], Bytes::from("Body=Hello"));
    let back = async {
        let counted = "app_webhooks_received_total{provider_id=\"twilio-main\",result=\"unverified\"} 1";
        testkit::until("it is about to be kept", async || {
            server.client.get("/metrics").await.text().contains(counted).then_some(())
        })
        .await;
        server.database.come_back().await;
    };
    let (answer, ()) = tokio::join!(forged, back);
    assert_eq!(code(&answer.expect(403)), "webhook_not_verified");
    assert_eq!(server.count("webhook_deliveries").await, 1);
}
