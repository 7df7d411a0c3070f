//! A TCP proxy between any two parts, whose faults a test switches on and off: silence, delay, resets, refusals.
//! It knows no protocol. It listens on a free port of the loopback address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with connections and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything.
    None,
    /// Accepts connections, keeps all sockets open, and forwards nothing. Bytes that arrive meanwhile are forwarded
    /// when the fault ends.
    BlackHole,
    /// As [`Fault::BlackHole`] for bytes of the server; those of the client are forwarded.
    SilentServer,
    /// As [`Fault::BlackHole`] for bytes of the client; those of the server are forwarded.
    SilentClient,
    /// Forwards every piece after this delay.
    Slow(Duration),
    /// Accepts connections and closes them at once. Open ones are not touched.
    Refuse,
}

/// Where connections are forwarded to.
#[derive(Clone, Debug)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

/// A running proxy. It ends, and its connections with it, when this value is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// Raised to reset what is open.
    resets: watch::Sender<u64>,
    /// Raised to forget what is open.
    abandonments: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// # Panics
    /// When no port is free.
    pub async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (fault, _) = watch::channel(Fault::None);
        let (resets, _) = watch::channel(0);
        let (abandonments, _) = watch::channel(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let link = Link {
            target,
            fault: fault.subscribe(),
            resets: resets.subscribe(),
            abandoned: abandonments.subscribe(),
        };
        let accepting = tokio::spawn(accept(listener, link, Arc::clone(&accepted)));
        Self { address, fault, resets, abandonments, accepted, accepting }
    }

    /// In front of the PostgreSQL server of this URL.
    ///
    /// # Panics
    /// When the URL names no host.
    pub async fn for_database(url: &str) -> Self {
        Self::start(database_target(url)).await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The database URL `url`, leading through this proxy.
    ///
    /// # Panics
    /// When `url` is not of the form `postgres://`.
    pub fn database_url(&self, url: &str) -> String {
        let parsed = url::Url::parse(url).expect("a URL");
        let (user, password) = (parsed.username(), parsed.password());
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{user}{password}@{}{}", self.address, parsed.path())
    }

    /// From now on, for open connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Resets every open connection (RST, not an orderly end).
    pub fn reset_all(&self) {
        self.resets.send_modify(|number| *number += 1);
    }

    /// Every open connection is silent for ever, in both directions, and stays open. New ones are not affected. A
    /// firewall that lost its state does this.
    pub fn abandon_all(&self) {
        self.abandonments.send_modify(|number| *number += 1);
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The first host of a database URL; a folder is that of a Unix socket.
fn database_target(url: &str) -> Target {
    let parsed = url::Url::parse(url).expect("a URL");
    let host = parsed.host_str().expect("a host").replace("%2F", "/").replace("%2f", "/");
    let port = parsed.port().unwrap_or(5432);
    if host.starts_with('/') {
        return Target::Unix(format!("{host}/.s.PGSQL.{port}").into());
    }
    let address =
        std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)).expect("an address").next();
    Target::Tcp(address.expect("an address"))
}

#[derive(Clone, Debug)]
struct Link {
    target: Target,
    fault: watch::Receiver<Fault>,
    resets: watch::Receiver<u64>,
    abandoned: watch::Receiver<u64>,
}

async fn accept(listener: TcpListener, link: Link, accepted: Arc<AtomicUsize>) {
    // Dropped with this task: the connections end with the proxy.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // Before it counts as accepted: a reset or an abandonment from then on concerns it.
        let mut link = link.clone();
        link.resets.mark_unchanged();
        link.abandoned.mark_unchanged();
        accepted.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        let refuses = *link.fault.borrow() == Fault::Refuse;
        if !refuses {
            connections.spawn(forward(client, link));
        }
    }
}

async fn forward(client: TcpStream, link: Link) {
    let mut resets = link.resets.clone();
    let kept = rustix::io::dup(&client).ok();
    tokio::select! {
        () = connect_and_copy(client, &link) => {}
        _ = resets.changed() => {
            if let Some(socket) = kept {
                // Closing now sends RST.
                let _ = set_socket_linger(&socket, Some(Duration::ZERO));
            }
        }
    }
}

async fn connect_and_copy(client: TcpStream, link: &Link) {
    let _ = client.set_nodelay(true);
    // In a black hole the client's connection stands and the server knows nothing of it.
    wait_while(&mut link.fault.clone(), |fault| fault == Fault::BlackHole).await;
    wait_if_abandoned(&link.abandoned).await;
    match &link.target {
        Target::Tcp(address) => {
            if let Ok(server) = TcpStream::connect(address).await {
                let _ = server.set_nodelay(true);
                copy_both(client, server, link).await;
            }
        }
        Target::Unix(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                copy_both(client, server, link).await;
            }
        }
    }
}

async fn copy_both(client: TcpStream, server: impl AsyncRead + AsyncWrite + Unpin, link: &Link) {
    // Not `into_split`: its halves end the connection in order when they are dropped, also before a reset.
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let client_is_silent = |fault| matches!(fault, Fault::BlackHole | Fault::SilentClient);
    let server_is_silent = |fault| matches!(fault, Fault::BlackHole | Fault::SilentServer);
    tokio::join!(
        copy(from_client, to_server, link.clone(), client_is_silent),
        copy(from_server, to_client, link.clone(), server_is_silent),
    );
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: Link,
    is_silent: impl Fn(Fault) -> bool,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        wait_while(&mut link.fault, &is_silent).await;
        wait_if_abandoned(&link.abandoned).await;
        let now = *link.fault.borrow();
        if let Fault::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

async fn wait_while(fault: &mut watch::Receiver<Fault>, is_silent: impl Fn(Fault) -> bool) {
    if fault.wait_for(|fault| !is_silent(*fault)).await.is_err() {
        // The proxy is gone: the task ends with it.
        std::future::pending::<()>().await;
    }
}

async fn wait_if_abandoned(abandoned: &watch::Receiver<u64>) {
    // An error means that the proxy is gone.
    if abandoned.has_changed().unwrap_or(true) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Target::Tcp(address)
    }

    async fn answer(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_black_hole_keeps_sockets_and_forwards_when_it_ends() {
        let proxy = FaultProxy::start(echo().await).await;
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut open).await.unwrap(), b'x');
        proxy.set(Fault::BlackHole);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        for stream in [&mut open, &mut new] {
            let silence = timeout(Duration::from_millis(50), answer(stream)).await;
            assert!(silence.is_err(), "{silence:?}");
        }
        proxy.set(Fault::None);
        for stream in [&mut open, &mut new] {
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        assert_eq!(proxy.accepted(), 2);
    }

    #[tokio::test]
    async fn a_reset_ends_open_connections_and_new_ones_work() {
        let proxy = FaultProxy::start(echo().await).await;
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut open).await.unwrap(), b'x');
        proxy.reset_all();
        let error = open.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut new).await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn an_abandoned_connection_stays_open_and_silent_and_new_ones_work() {
        let proxy = FaultProxy::start(echo().await).await;
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut open).await.unwrap(), b'x');
        proxy.set(Fault::BlackHole);
        let mut waiting = TcpStream::connect(proxy.address()).await.unwrap();
        open.write_all(b"x").await.unwrap();
        // The kernel establishes a connection before the proxy accepts it.
        crate::until("both are accepted", async || (proxy.accepted() == 2).then_some(())).await;
        proxy.abandon_all();
        proxy.set(Fault::None);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut new).await.unwrap(), b'x');
        for stream in [&mut open, &mut waiting] {
            let silence = timeout(Duration::from_millis(50), answer(stream)).await;
            assert!(silence.is_err(), "{silence:?}");
        }
    }

    #[tokio::test]
    async fn a_half_open_connection_still_takes_what_the_client_sends() {
        let proxy = FaultProxy::start(echo().await).await;
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.set(Fault::SilentServer);
        let silence = timeout(Duration::from_millis(50), answer(&mut open)).await;
        assert!(silence.is_err(), "{silence:?}");
        proxy.set(Fault::Refuse);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(new.read_u8().await.is_err());
        proxy.set(Fault::None);
        assert_eq!(open.read_u8().await.unwrap(), b'x');
    }
}
