//! The console's figures: what the outbox and the providers' page tell, and that nothing waits for a count.

use app_db::provider_pauses;
use app_db::provider_states::{self, ProviderState};
use model::ProviderHealth;
use service::Clock;
use testkit::until;
use uuid::Uuid;

use crate::server::{Server, server};

async fn publish(server: &Server, processor: u128, state: ProviderHealth) {
    let client = server.database.pool.get().await.unwrap();
    let state = ProviderState {
        provider_id: "twilio-main".to_owned(),
        state,
        reason: None,
        since: Clock::System.now(),
        until: None,
        in_flight: 3,
        slots: 64,
        failures: 0,
        latency_ms: Some(40.0),
        latency_p95_ms: Some(180.0),
        calls_per_s: Some(12.5),
    };
    provider_states::publish(&client, Uuid::from_u128(processor), &[state]).await.unwrap();
}

async fn page(server: &Server, path: &str) -> String {
    server.client.get(path).await.expect(200).text()
}

/// The page as soon as it says so: counting goes on beside it.
async fn page_that_says(server: &Server, path: &str, text: &str) -> String {
    until(text, async || Some(page(server, path).await).filter(|page| page.contains(text))).await
}

#[tokio::test]
async fn how_providers_fare_is_told_while_nothing_can_be_counted() {
    let server = server().await;
    let mut client = server.database.pool.get().await.unwrap();
    let locks = client.transaction().await.unwrap();
    locks.batch_execute("lock table messages, outbox in access exclusive mode").await.unwrap();
    for (state, word) in [
        (ProviderHealth::Closed, "works"),
        (ProviderHealth::Open, "down"),
        (ProviderHealth::Halted, "refuses the account"),
    ] {
        publish(&server, 1, state).await;
        // More looks than there are connections to read by.
        for _ in 0..20 {
            let text = page(&server, "/providers").await;
            assert!(text.contains(&format!(">{word}</span>")) && text.contains("is being counted"), "{text}");
        }
    }
    locks.rollback().await.unwrap();
    page_that_says(&server, "/providers", "The last hour is counted by the minute").await;
}

#[tokio::test]
async fn a_provider_is_told_with_what_its_processors_call_and_how_long_answers_take() {
    let server = server().await;
    let none = page(&server, "/providers").await;
    assert!(none.contains("no processor reports it"), "{none}");
    publish(&server, 1, ProviderHealth::Closed).await;
    publish(&server, 2, ProviderHealth::Closed).await;
    let text = page(&server, "/providers").await;
    assert!(text.contains("25.0 calls a second over the last minute"), "{text}");
    assert!(
        text.contains("40 ms (median of the latest calls), 180 ms (p95), at the slowest processor"),
        "{text}"
    );
}

#[tokio::test]
async fn a_paused_provider_is_told_with_what_waits_for_it_alone() {
    let server = server().await;
    for number in 0..3 {
        server.send_sms("+12025550100", &format!("+1202555019{number}"), "Hello").await;
    }
    {
        let client = server.database.pool.get().await.unwrap();
        for id in ["twilio-main", "sendgrid-main"] {
            provider_pauses::pause(&client, id, None).await.unwrap();
        }
    }
    let text = page_that_says(&server, "/providers", "Due messages that only it can take: 3").await;
    assert!(text.contains("No message that is due waits for it alone"), "{text}");
}

#[tokio::test]
async fn one_providers_noise_hides_no_other_ones_causes_and_links_find_what_was_counted() {
    let server = server().await;
    for number in 0..20 {
        server.send_sms("+12025550100", &format!("+120255501{number:02}"), "Hello").await;
    }
    // What a worker would have written.
    server
        .execute(
            "update messages set status_tag = 'failed', provider_id = 'noisy',
                 status_payload = '{\"code\": \"invalid_recipient\", \"provider_code\": \"21211\"}';
             update messages set provider_id = 'twilio-main', status_payload = '{\"code\": \"opted_out\"}'
                 where id = (select min(id::text)::uuid from messages);
             update messages set status_tag = 'retry', delivery_tag = 'unknown', provider_id = 'noisy',
                 status_payload = '{\"code\": \"timeout\"}' where id = (select max(id::text)::uuid from messages);
             insert into problems (bucket, message_id, kind)
                 select bucket, id, case status_tag when 'failed' then 'failed' else 'held' end from messages;
             update outbox set next_attempt_at = 'infinity', lease_no = 1
                 where message_id = (select max(id::text)::uuid from messages);
             delete from outbox where next_attempt_at < 'infinity'",
        )
        .await;
    let providers = page_that_says(&server, "/providers", "Causes, of all messages stored").await;
    let (_, own) = providers.split_once("id=\"p-twilio-main\"").unwrap();
    let (own, _) = own.split_once("</section>").unwrap();
    assert!(own.contains("<td class=\"number\">1</td><td>failed</td>"), "{own}");
    assert!(own.contains("provider_id=twilio-main&amp;code=opted_out"), "{own}");

    let outbox = page(&server, "/outbox").await;
    assert!(outbox.contains("19 failed in all") && outbox.contains("1 held in all"), "{outbox}");
    let links =
        outbox.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    let links: Vec<String> = links.filter(|link| link.contains("since=")).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        let found = page(&server, &link).await;
        let expected = match &link {
            link if link.contains("code=opted_out") || link.contains("unknown") => 1,
            link if link.contains("code=21211") => 18,
            link if link.contains("failed") => 19,
            _ => 20,
        };
        if link.starts_with("/bulk") {
            assert!(found.contains(&format!("<b>{expected}</b> of them can be.")), "{link}: {found}");
        } else {
            let rows = found.matches("<tr id=\"r-").count();
            // A single minute has fewer where the clock went on to the next meanwhile.
            assert!(rows == expected || (link.contains("until=") && rows > 0), "{link}: {rows}");
        }
    }
}
