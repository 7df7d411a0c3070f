//! Webhooks that anybody may send in any number: memory, rows, log lines.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use testkit::{HttpClient, TestDatabase, service, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::console::FORM;
use crate::quarantine::{deliver, forge, server_of};
use crate::server::{CONFIG, PUBLIC_URL, server};

const TWILIO: &str = "/api/webhooks/twilio-main";

async fn binary(database: &TestDatabase) -> testkit::Service {
    // Without a key, every provider is simulated.
    let simulated = |kind: &str| format!("kind = \"{kind}\"\nbase_url = \"http://127.0.0.1:9\"");
    let config = ["twilio", "sendgrid"].into_iter().fold(CONFIG.to_owned(), |config, kind| {
        config.replace(&format!("kind = \"{kind}\""), &simulated(kind))
    });
    let starting = service("app-apiserver").config(&config).env("APP_PUBLIC_URL", PUBLIC_URL);
    starting.env("DATABASE_URL", &database.url).start().await
}

/// The most memory that the process ever had resident.
fn resident_mib_max(running: &testkit::Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn large_forged_webhooks_take_no_more_memory_than_is_stated() {
    let database = testkit::database().await;
    let running = binary(&database).await;
    let client = running.client();
    forge(&client, "first").await;
    let before_mib = resident_mib_max(&running);
    let body = Bytes::from([b"Body=".as_slice(), &vec![b'x'; (32 << 20) - 5]].concat());
    let headers = [("content-type", FORM), ("x-twilio-signature", "AAAA")];
    let posts = (0..100).map(|_| {
        let (client, body) = (HttpClient::new(running.url()), body.clone());
        async move {
            let answer = client.try_send(Method::POST, TWILIO, &headers, body).await;
            answer.map_or(0, |answer| answer.status.as_u16())
        }
    });
    let mut statuses: Vec<u16> = join_all(posts).await;
    let taken_mib = resident_mib_max(&running) - before_mib;
    statuses.sort_unstable();
    statuses.dedup();
    println!("100 posts of 32 MiB: {taken_mib} MiB more than {before_mib} MiB, answered {statuses:?}");
    assert!(taken_mib <= 256, "{taken_mib} MiB");
    assert!(statuses.contains(&403), "{statuses:?}");
}

#[tokio::test]
async fn unfinished_webhooks_do_not_keep_out_a_genuine_one() {
    let server = server().await;
    let unfinished = (0..370).map(|_| async {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {TWILIO} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\nx-twilio-signature: AAAA\r\n\
             content-length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server refuses what does not fit into its memory, and reads no more of it then.
        let _ =
            tokio::time::timeout(std::time::Duration::from_secs(5), stream.write_all(&vec![b'x'; 700_000]))
                .await;
        stream
    });
    let _unfinished = join_all(unfinished).await;
    assert_eq!(deliver(&server.client, "SM1", "+12025550199", "Hello").await, 200);
}

#[tokio::test]
async fn a_webhook_without_its_signature_is_refused_before_its_body_is_there() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {TWILIO} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 30000000\r\n\r\nBody=x"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The server closes the connection.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let kept = "select detail || ' ' || is_cut || ' ' || convert_from(body, 'UTF8') from webhook_deliveries";
    assert_eq!(server.value(kept).await, "the header x-twilio-signature is missing true Body=x");
}

#[tokio::test]
async fn the_same_forged_webhook_is_one_row_with_a_count_and_few_log_lines() {
    let database = testkit::database().await;
    let running = binary(&database).await;
    let client = running.client();
    for _ in 0..100 {
        forge(&client, "x").await;
    }
    let listed = client.get("/api/webhook_deliveries").await.expect(200).json();
    let listed = listed["webhook_deliveries"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["deliveries"], &listed[0]["peer"]), (&100.into(), &"127.0.0.1".into()));
    let times = client.get("/quarantine").await.expect(200).text();
    assert!(times.contains("(100 times)"), "{times}");
    let lines = running.said().matches("a webhook was rejected").count();
    assert!((1..50).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn a_rejected_webhook_names_the_client_that_a_trusted_proxy_names() {
    let forwarded = |client: HttpClient| client.with_header("x-forwarded-for", "1.1.1.1, 203.0.113.9");
    let server = server_of(&format!("{CONFIG}\n[server]\ntrusted_proxies = [\"127.0.0.1\"]\n")).await;
    forge(&forwarded(server.client.clone()), "x").await;
    assert_eq!(server.value("select peer from webhook_deliveries").await, "203.0.113.9");
    let other = crate::server::another_on(&server).await;
    forge(&forwarded(other), "y").await;
    let peers = "select string_agg(peer, ' ' order by id) from webhook_deliveries";
    until("both are kept", async || (server.value(peers).await == "203.0.113.9 127.0.0.1").then_some(()))
        .await;
}
