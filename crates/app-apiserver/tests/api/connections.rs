//! The binary's start, and the cap on connections.

use std::io::ErrorKind;

use ::service::Clock;
use testkit::{free_port, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{CONFIG, start};

const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn above_the_cap_a_connection_waits_until_another_ends() {
    let config = format!("{CONFIG}\n[server]\nmax_connections = 1\n");
    let server = start(testkit::database().await, &config, "127.0.0.1:0", Clock::System).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(GET).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    first.write_all(GET).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
    assert_eq!(second.try_read(&mut [0; 1]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    drop(first);
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_binary_serves_and_ends_in_order_at_sigterm() {
    let database = testkit::database().await;
    let mut running = service("app-apiserver").env("DATABASE_URL", &database.url).start().await;
    running.client().get("/api/messages").await.expect(200);
    assert!(running.terminate().await.success(), "{}", running.said());
}

#[tokio::test]
async fn the_binary_says_what_it_needs() {
    let (status, said) = service("app-apiserver").run().await;
    assert!(!status.success());
    assert!(said.contains("DATABASE_URL is not set") && said.contains("`app up`"), "{said}");

    let taken = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with_database = || service("app-apiserver").env("DATABASE_URL", "postgres://x@127.0.0.1:1/x");
    let (status, said) = with_database().env("APP_LISTEN", &address).run().await;
    assert!(!status.success());
    assert!(said.contains("APP_LISTEN") && said.contains(&address), "{said}");

    let (status, said) = with_database().config("[server]\nmax_conections = 1\n").run().await;
    assert!(!status.success());
    assert!(said.contains("max_conections"), "{said}");
}
