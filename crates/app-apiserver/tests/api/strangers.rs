//! Clients that hold connections, and what they cannot take from others.

use ::service::Clock;
use testkit::{service, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::{CONFIG, Server, server_with, start};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
/// Served on a regular connection only.
const REGULAR: &str = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

async fn started(settings: &str) -> Server {
    let config = format!("{CONFIG}\n[server]\n{settings}\n");
    start(testkit::database().await, &config, "127.0.0.1:0", Clock::System).await
}

/// A connection that has sent this.
async fn connection(server: &Server, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// The beginning of the answer; empty where the connection ends without one.
async fn answer(mut stream: TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

async fn status(server: &Server, sent: &str) -> String {
    answer(connection(server, sent).await).await.chars().skip(9).take(3).collect()
}

/// Regular connections are served again: the connection that held the only place is closed.
async fn until_served(server: &Server) {
    until("a regular request is served", async || (status(server, REGULAR).await == "200").then_some(()))
        .await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let server = started("max_connections = 1\nstall_timeout_s = 0.5").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(server.address).await.unwrap();
    // More answers than the buffers of both sides take.
    let asks = async {
        for _ in 0..1000 {
            if deaf.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = asks => {}
        () = until_served(&server) => {}
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_and_an_idle_connection_end() {
    let server = started("max_connections = 1\nstall_timeout_s = 0.5").await;
    for sent in ["", "GET / HTTP/1.1\r\nhost", HEALTH] {
        let _held = connection(&server, sent).await;
        until_served(&server).await;
    }
}

#[tokio::test]
async fn with_all_connections_taken_health_checks_are_answered() {
    let server = started("max_connections = 2").await;
    let _held = [connection(&server, "").await, connection(&server, "GET").await];
    let idle: Vec<TcpStream> =
        futures_util::future::join_all((0..200).map(|_| connection(&server, ""))).await;
    for path in ["/healthz", "/readyz"] {
        let asked = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        until("a health check is answered", async || {
            let answer = answer(connection(&server, &asked).await).await.to_ascii_lowercase();
            (answer.starts_with("http/1.1 200") && answer.contains("connection: close")).then_some(())
        })
        .await;
    }
    drop(idle);
}

#[tokio::test]
async fn a_peer_has_its_own_limit_of_connections_and_a_proxy_has_none() {
    let server = started("connections_per_peer = 2\ntrusted_proxies = [\"127.0.0.1\"]").await;
    let of = |client: &str, sent: &str| format!("PROXY TCP4 {client} 192.0.2.1 4711 80\r\n{sent}");
    let held = [(); 2].map(|()| connection(&server, of("203.0.113.1", HEALTH).leak()));
    let [first, second] = held;
    let (mut first, mut second) = tokio::join!(first, second);
    for stream in [&mut first, &mut second] {
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    }
    assert_eq!(status(&server, &of("203.0.113.1", HEALTH)).await, "503");
    assert_eq!(status(&server, &of("203.0.113.2", HEALTH)).await, "200");
    let of_proxy = [(); 4].map(|()| connection(&server, ""));
    let _of_proxy = futures_util::future::join_all(of_proxy).await;
    assert_eq!(status(&server, HEALTH).await, "200");
    drop(first);
    until("the place is free again", async || {
        (status(&server, &of("203.0.113.1", HEALTH)).await == "200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_header_of_another_peer_is_no_request() {
    let server = started("").await;
    let sent = format!("PROXY TCP4 203.0.113.1 192.0.2.1 4711 80\r\n{HEALTH}");
    assert_eq!(status(&server, &sent).await, "400");
}

#[tokio::test]
async fn each_request_has_one_valid_host() {
    let server = server_with(CONFIG, "127.0.0.1:0", Clock::System).await;
    for path in
        ["/healthz", "/readyz", "/metrics", "/api/messages", "/api/webhooks/twilio-main", "/docs", "/", "/no"]
    {
        for hosts in [
            "",
            "host: x\r\nhost: x\r\n",
            "host: a\r\nHost: b\r\n",
            "host:\r\n",
            "host: a b\r\n",
            "host: u@x\r\n",
        ] {
            let sent = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            let answer = answer(connection(&server, &sent).await).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} {hosts:?}: {answer}");
            assert!(answer.contains("\"invalid_host\""), "{path} {hosts:?}: {answer}");
        }
    }
    assert_eq!(status(&server, "GET /healthz HTTP/1.0\r\n\r\n").await, "200");
    assert_eq!(status(&server, "GET /healthz HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n").await, "400");
    assert_eq!(status(&server, "GET http://x/healthz HTTP/1.1\r\n\r\n").await, "400");
}

/// A binary with these limits of open files, while many connections are idle; what it says.
async fn with_idle_connections(soft: u32, hard: u32) -> String {
    let database = testkit::database().await;
    let running =
        service("app-apiserver").env("DATABASE_URL", &database.url).open_files(soft, hard).start().await;
    let address = running.url().replace("http://", "");
    let mut idle = Vec::new();
    for _ in 0..300 {
        // Above all limits, the kernel's queue takes it.
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    until("a health check is answered", async || {
        let mut stream = TcpStream::connect(&address).await.ok()?;
        stream.write_all(HEALTH.as_bytes()).await.ok()?;
        answer(stream).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    running.said()
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let said = with_idle_connections(256, 8192).await;
    assert!(!said.contains("limit of open files"), "{said}");
}

#[tokio::test]
async fn connections_stay_below_a_hard_limit_of_open_files_and_a_warning_says_so() {
    let said = with_idle_connections(256, 256).await;
    assert!(said.contains("the limit of open files allows fewer connections"), "{said}");
    assert!(!said.contains("a connection was not accepted"), "{said}");
}
