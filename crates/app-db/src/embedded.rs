//! PostgreSQL that starts and stops with us: a private cluster below a folder, reached through a private socket.
//! Must not touch any other server, and must not run two of itself over one folder.

mod account;
mod binaries;
mod cluster;
mod error;
mod home;
mod server;

use std::fs;
use std::path::Path;
use std::process::ExitStatus;

use self::account::Account;
use self::binaries::Binaries;
pub use self::error::EmbeddedError;
use self::home::Home;
use self::server::Server;

/// A running server. Dropping it, or the end of this process however it comes, shuts the server down; [`stop`]
/// also waits for that.
///
/// [`stop`]: Embedded::stop
#[derive(Debug)]
pub struct Embedded {
    place: Place,
    server: Server,
}

/// What a server is started from.
#[derive(Debug)]
struct Place {
    home: Home,
    account: Account,
    binaries: Binaries,
    /// Gone when the server stops, and without durability.
    throwaway: bool,
}

impl Embedded {
    /// Starts the server of `data_dir`, making its cluster first where there is none. Takes over what a killed
    /// run left behind. Returns when the database answers.
    ///
    /// # Errors
    /// [`EmbeddedError`] says what is wrong and what to do.
    pub async fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        fs::create_dir_all(data_dir).map_err(EmbeddedError::io("create", data_dir))?;
        let data_dir = fs::canonicalize(data_dir).map_err(EmbeddedError::io("open", data_dir))?;
        let account = Account::choose(&data_dir.join("postgres")).await?;
        let home = Home::open(&data_dir, account).await?;
        Self::start_in(home, account, false).await
    }

    /// Starts a server whose cluster is gone when it stops, and which gives up durability for speed: for tests.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub async fn start_throwaway() -> Result<Self, EmbeddedError> {
        let account = Account::choose(Path::new("/nonexistent")).await?;
        let home = Home::throwaway(account).await?;
        Self::start_in(home, account, true).await
    }

    async fn start_in(home: Home, account: Account, throwaway: bool) -> Result<Self, EmbeddedError> {
        let binaries = Binaries::find(cluster::major_version(&home)?, &home).await?;
        let place = Place { home, account, binaries, throwaway };
        cluster::create(&place).await?;
        let server = server::start(&place).await?;
        Ok(Self { place, server })
    }

    /// A connection string that tokio-postgres and libpq take.
    pub fn url(&self) -> String {
        server::url(&self.place.home, "app")
    }

    /// The URL of the server that another process runs over `data_dir`, if one does. Whether it answers yet is
    /// not known.
    pub fn url_of_running(data_dir: &Path) -> Option<String> {
        home::socket_dir_in_use(data_dir).map(|socket_dir| server::url_at(&socket_dir, "app"))
    }

    /// For people: `PostgreSQL 15`.
    pub fn version(&self) -> String {
        format!("PostgreSQL {}", self.place.binaries.major)
    }

    /// What a person should know about where things went; usually nothing.
    pub fn notes(&self) -> &[String] {
        &self.place.home.notes
    }

    /// The postmaster's process id, as it wrote it.
    pub fn pid(&self) -> Option<i32> {
        cluster::postmaster_pid(&self.place.home)
    }

    /// Waits until the server ends by itself, which it should not.
    pub async fn ended(&mut self) -> ExitStatus {
        match self.server.supervisor.wait().await {
            Ok(status) => status,
            // Only where someone else reaped our child: nothing is known, and nothing will come.
            Err(_) => std::future::pending().await,
        }
    }

    /// Starts the server again after it [`ended`](Embedded::ended).
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.server = server::start(&self.place).await?;
        Ok(())
    }

    /// Shuts the server down: connections are closed, everything is written, and it is gone on return.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.server.stop(&self.place).await?;
        // What a restart that was dropped half way had started.
        cluster::stop_orphan(&self.place).await
    }
}

#[cfg(test)]
mod tests;
