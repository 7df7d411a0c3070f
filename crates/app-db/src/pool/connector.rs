//! Makes connections: tries hosts and addresses in their order, TLS as `sslmode` asks for, checks that the session is
//! of the kind that is wanted, and runs it in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::health::Health;
use super::link::Link;
use super::pooler::{self, Facts};
use super::settings::{Environment, Host, Session, Settings, TlsMode};
use super::watched::Watched;
use super::{ConnectError, Connection, LinkError, SESSION, tls};

type Socket = Either<TcpStream, UnixStream>;

/// A best effort, so that a server that hangs does not collect sessions of ours.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);
/// Asks for TLS: the length, and the number of this request.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

#[derive(Debug)]
pub(super) struct Connector {
    settings: Settings,
    tls: Option<MakeTls>,
    pub(super) health: Arc<Health>,
    /// Whether a pooler on the way was found to keep a session for as long as we do.
    keeps_sessions: AtomicBool,
}

#[derive(Clone)]
struct MakeTls(MakeRustlsConnect);

impl std::fmt::Debug for MakeTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MakeTls")
    }
}

/// Of one attempt.
#[derive(Clone, Copy, Debug)]
enum Encryption {
    None,
    IfOffered,
    Required,
}

/// Where one attempt leads.
#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

impl Connector {
    pub(super) fn new(url: &str, environment: Environment<'_>) -> Result<Self, ConnectError> {
        let settings = Settings::read(url, environment)?;
        let tls = tls::connector(&settings.tls)?.map(MakeTls);
        Ok(Self { settings, tls, health: Arc::default(), keeps_sessions: AtomicBool::new(false) })
    }

    /// Whether its sessions are for writing.
    pub(super) fn writes(&self) -> bool {
        self.settings.session.writes()
    }

    /// A session of ours; `wake` is notified of every notification that it gets.
    pub(super) async fn connect(
        self: &Arc<Self>,
        wake: Option<&Arc<Notify>>,
    ) -> Result<Connection, LinkError> {
        let mut hosts: Vec<&Host> = self.settings.hosts.iter().collect();
        if self.settings.in_random_order {
            use std::hash::BuildHasher;
            let random = std::hash::RandomState::new();
            hosts.sort_by_key(|host| random.hash_one((&host.name, host.port)));
        }
        let mut failure = None;
        for host in hosts {
            match self.connect_to(host, wake).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(LinkError::Down))
    }

    async fn connect_to(
        self: &Arc<Self>,
        host: &Host,
        wake: Option<&Arc<Notify>>,
    ) -> Result<Connection, LinkError> {
        let limit = self.settings.connect_limit;
        let mut failure = None;
        for address in timeout(limit, addresses(host)).await.map_err(|_| LinkError::Silent(limit))?? {
            let connecting = self.connect_at(host, &address, wake);
            match timeout(limit, connecting).await.unwrap_or(Err(LinkError::Silent(limit))) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(LinkError::Down))
    }

    /// With TLS, without, or one after the other.
    async fn connect_at(
        self: &Arc<Self>,
        host: &Host,
        address: &Address,
        wake: Option<&Arc<Notify>>,
    ) -> Result<Connection, LinkError> {
        let mode = match address {
            Address::Unix(_) => TlsMode::Disable,
            Address::Tcp(_) => self.settings.tls.mode,
        };
        let attempt = async |offer| self.attempt(host, address, offer, wake).await;
        match mode {
            TlsMode::Disable => attempt(Encryption::None).await,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => attempt(Encryption::Required).await,
            TlsMode::Allow => match attempt(Encryption::None).await {
                Err(error) if error.may_be_about_tls() => {
                    attempt(Encryption::Required).await.map_err(|_| error)
                }
                other => other,
            },
            TlsMode::Prefer => match attempt(Encryption::IfOffered).await {
                Err(error) if error.may_be_about_tls() => attempt(Encryption::None).await.map_err(|_| error),
                other => other,
            },
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        host: &Host,
        address: &Address,
        encryption: Encryption,
        wake: Option<&Arc<Notify>>,
    ) -> Result<Connection, LinkError> {
        let connection = self.open_session(host, address, encryption, wake).await?;
        let facts = Facts::of(&connection).await?;
        // A server names its process at the start of a session; a pooler names a number of its own.
        let is_pooled = facts.backend_pid != connection.link.backend_pid();
        if is_pooled && !self.keeps_sessions.load(Ordering::Relaxed) {
            let another = || self.open_session(host, address, encryption, None);
            if pooler::is_shared(&connection, facts.backend_pid, another).await? {
                return Err(LinkError::TransactionPooling);
            }
            self.keeps_sessions.store(true, Ordering::Relaxed);
        }
        self.check_session(&facts, host)?;
        connection.batch_execute(SESSION).await?;
        Ok(connection)
    }

    /// A session as the server begins it.
    async fn open_session(
        self: &Arc<Self>,
        host: &Host,
        address: &Address,
        encryption: Encryption,
        wake: Option<&Arc<Notify>>,
    ) -> Result<Connection, LinkError> {
        let mut socket = self.open(address).await?;
        let link = Arc::new(Link::new(Arc::clone(&self.health)));
        let mut config = self.settings.config_for(host);
        let with_tls = match encryption {
            Encryption::None => false,
            Encryption::IfOffered => ask_for_tls(&mut socket).await?,
            Encryption::Required if ask_for_tls(&mut socket).await? => true,
            Encryption::Required => return Err(LinkError::NoTls),
        };
        let (client, driving, encoding) = if with_tls {
            // The request is answered already: the session begins with its handshake.
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let tls = WatchedTls { inner: self.make_tls(host)?, link: Arc::clone(&link) };
            let (client, connection) = config.connect_raw(socket, tls).await?;
            let encoding = connection.parameter("server_encoding").map(str::to_owned);
            (client, Box::pin(drive(connection, wake.cloned())) as Driving, encoding)
        } else {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) =
                config.connect_raw(Watched::new(socket, Arc::clone(&link)), NoTls).await?;
            let encoding = connection.parameter("server_encoding").map(str::to_owned);
            (client, Box::pin(drive(connection, wake.cloned())) as Driving, encoding)
        };
        if let Some(encoding) = encoding.filter(|encoding| encoding != "UTF8") {
            return Err(LinkError::Encoding(encoding));
        }
        let cancel =
            Cancel { connector: Arc::clone(self), host: host.clone(), address: address.clone(), with_tls };
        let task = tokio::spawn(run(driving, Arc::clone(&link), client.cancel_token(), cancel));
        Ok(Connection::new(client, task, link, Arc::clone(self)))
    }

    fn check_session(&self, facts: &Facts, host: &Host) -> Result<(), LinkError> {
        let is_right = match self.settings.session {
            Session::Any => true,
            Session::ReadWrite => !facts.is_read_only,
            Session::ReadOnly => facts.is_read_only,
            Session::Primary => !facts.is_standby,
            Session::Standby => facts.is_standby,
        };
        match is_right {
            true => Ok(()),
            false if self.writes() => Err(LinkError::ReadOnly(format!("{}:{}", host.name, host.port))),
            false => Err(LinkError::Writable(format!("{}:{}", host.name, host.port))),
        }
    }

    async fn open(&self, address: &Address) -> Result<Socket, LinkError> {
        Ok(match address {
            Address::Unix(path) => Either::Right(UnixStream::connect(path).await?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                self.watch_idle(&stream)?;
                Either::Left(stream)
            }
        })
    }

    /// The kernel finds out that the other end of an idle connection is gone.
    fn watch_idle(&self, stream: &TcpStream) -> io::Result<()> {
        let config = &self.settings.config;
        if config.get_keepalives() {
            sockopt::set_socket_keepalive(stream, true)?;
            sockopt::set_tcp_keepidle(stream, config.get_keepalives_idle())?;
            if let Some(interval) = config.get_keepalives_interval() {
                sockopt::set_tcp_keepintvl(stream, interval)?;
            }
            if let Some(retries) = config.get_keepalives_retries() {
                sockopt::set_tcp_keepcnt(stream, retries)?;
            }
        }
        #[cfg(target_os = "linux")]
        if let Some(limit) = config.get_tcp_user_timeout() {
            sockopt::set_tcp_user_timeout(stream, u32::try_from(limit.as_millis()).unwrap_or(u32::MAX))?;
        }
        Ok(())
    }

    fn make_tls(
        &self,
        host: &Host,
    ) -> Result<<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect, LinkError> {
        let Some(MakeTls(mut make)) = self.tls.clone() else { return Err(LinkError::NoTls) };
        match MakeTlsConnect::<Socket>::make_tls_connect(&mut make, &host.name) {
            Ok(tls) => Ok(tls),
            Err(never) => match never {},
        }
    }
}

async fn addresses(host: &Host) -> io::Result<Vec<Address>> {
    if host.address.is_none() && host.name.starts_with('/') {
        return Ok(vec![Address::Unix(Path::new(&host.name).join(format!(".s.PGSQL.{}", host.port)))]);
    }
    let name = host.address.as_deref().unwrap_or(&host.name);
    Ok(tokio::net::lookup_host((name, host.port)).await?.map(Address::Tcp).collect())
}

/// Whether the server offers TLS.
async fn ask_for_tls(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    Ok(socket.read_u8().await? == b'S')
}

/// Puts the watch above TLS.
struct WatchedTls<T> {
    inner: T,
    link: Arc<Link>,
}

impl<S, T> TlsConnect<S> for WatchedTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = Watched<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Self { inner, link } = self;
        let connecting = inner.connect(stream);
        Box::pin(async move { Ok(Watched::new(connecting.await?, link)) })
    }
}

type Driving = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    wake: Option<Arc<Notify>>,
) -> Result<(), tokio_postgres::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    std::future::poll_fn(move |context: &mut Context<'_>| {
        loop {
            match std::task::ready!(connection.poll_message(context)) {
                Some(Ok(AsyncMessage::Notification(_))) => wake.iter().for_each(|wake| wake.notify_one()),
                // Notices may quote values.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

/// Runs a connection until it breaks, its users are gone, or its generation ends.
async fn run(driving: Driving, link: Arc<Link>, token: CancelToken, cancel: Cancel) {
    // Also where this task is aborted.
    let _ended = link.ended.clone().drop_guard();
    let generation = link.health.generation();
    tokio::select! {
        biased;
        result = driving => if let Err(error) = result {
            tracing::debug!(error = %error, "a connection to the database broke");
        },
        () = generation.cancelled() => {}
    }
    if link.was_silent() {
        // It goes on after this task, which ends with its last user.
        tokio::spawn(timeout(CANCEL_LIMIT, cancel.run(token)));
    }
}

/// Ends on the server what was given up here: it would hold locks, or wait for a standby, and its session would be kept
/// for as long.
struct Cancel {
    connector: Arc<Connector>,
    host: Host,
    address: Address,
    with_tls: bool,
}

impl Cancel {
    async fn run(self, token: CancelToken) -> Result<(), LinkError> {
        let mut socket = self.connector.open(&self.address).await?;
        if self.with_tls && ask_for_tls(&mut socket).await? {
            Ok(token.cancel_query_raw(socket, self.connector.make_tls(&self.host)?).await?)
        } else {
            Ok(token.cancel_query_raw(socket, NoTls).await?)
        }
    }
}
