//! One installation: a database of the newest schema, one `app.toml`, and processes that run by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use app_db::Pool;

use crate::client::HttpClient;
use crate::port;
use crate::process::{Launch, Process};
use crate::simulator::Simulator;

const CONNECTIONS: usize = 8;

#[derive(Debug)]
pub struct Installation {
    pub pool: Pool,
    dir: PathBuf,
    binaries: PathBuf,
    database_url: String,
    /// Where its processes reach the database, if elsewhere than we do.
    processes_database_url: Option<String>,
    /// Where providers reach the server, if elsewhere than clients do.
    public_url: Option<String>,
    /// Further variables of the processes that are started from now on.
    pub environment: Vec<(String, String)>,
    /// Of the server that providers reach.
    api_port: u16,
    processes: AtomicU32,
}

impl Installation {
    pub(crate) async fn new(dir: PathBuf, binaries: PathBuf, database_url: String) -> anyhow::Result<Self> {
        let pool = app_db::connect(&database_url, CONNECTIONS)?;
        let mut client = pool.get().await?;
        app_db::migrate::run(&mut client).await?;
        Ok(Self {
            pool,
            dir,
            binaries,
            database_url,
            processes_database_url: None,
            public_url: None,
            environment: Vec::new(),
            api_port: port::free()?,
            processes: AtomicU32::new(0),
        })
    }

    /// A further pool of at most so many connections.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn connect(&self, connections: usize) -> anyhow::Result<Pool> {
        Ok(app_db::connect(&self.database_url, connections)?)
    }

    /// For programs that connect by themselves.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The processes that are started from now on reach the database there.
    pub fn reach_database_at(&mut self, url: String) {
        self.processes_database_url = Some(url);
    }

    /// Providers reach the first server there.
    pub fn publish_at(&mut self, url: String) {
        self.public_url = Some(url);
    }

    /// The folder of configurations, logs and files of scenarios.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of its database.
    pub fn database(&self) -> &str {
        self.database_url.rsplit('/').next().unwrap_or_default()
    }

    /// The port of the server that providers reach.
    pub fn api_port(&self) -> u16 {
        self.api_port
    }

    /// Where providers and clients reach the first server, also before it is started.
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    pub fn api(&self) -> HttpClient {
        HttpClient::new(self.api_url())
    }

    /// Writes the `app.toml` of the processes that are started from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, toml: &str) -> anyhow::Result<()> {
        fs::write(self.dir.join("app.toml"), toml).context("app.toml")
    }

    /// The server that providers reach.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn apiserver(&self) -> anyhow::Result<Process> {
        self.apiserver_at(self.api_port).await
    }

    /// A further server.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn further_apiserver(&self) -> anyhow::Result<Process> {
        self.apiserver_at(port::free()?).await
    }

    /// A further server that need not get ready: it is started, and answers some time later.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_further_apiserver(&self) -> anyhow::Result<Process> {
        let mut launch = self.apiserver_launch(port::free()?);
        launch.ready_path = "/healthz";
        Process::start(launch).await
    }

    async fn apiserver_at(&self, port: u16) -> anyhow::Result<Process> {
        Process::start(self.apiserver_launch(port)).await
    }

    fn apiserver_launch(&self, port: u16) -> Launch {
        let mut launch = self.launch("app-apiserver", port, "/readyz");
        launch.environment.push(("APP_LISTEN".to_owned(), format!("127.0.0.1:{port}")));
        launch
    }

    /// # Errors
    /// When it does not start.
    pub async fn processor(&self) -> anyhow::Result<Process> {
        let port = port::free()?;
        let mut launch = self.launch("app-processor", port, "/healthz");
        launch.environment.push(("APP_PROCESSOR_LISTEN".to_owned(), format!("127.0.0.1:{port}")));
        Process::start(launch).await
    }

    /// # Errors
    /// When it does not start.
    pub async fn simulator(&self, arguments: &[&str]) -> anyhow::Result<Simulator> {
        let port = port::free()?;
        let mut launch = self.launch("provider-simulator", port, "/healthz");
        launch.arguments = vec![format!("--listen=127.0.0.1:{port}")];
        launch.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        launch.environment.clear();
        let process = Process::start(launch).await?;
        let http = process.http();
        Ok(Simulator { url: http.base_url().to_owned(), http, process })
    }

    fn launch(&self, name: &str, port: u16, ready_path: &'static str) -> Launch {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let environment = [
            ("DATABASE_URL", self.processes_database_url.as_ref().unwrap_or(&self.database_url).clone()),
            ("APP_CONFIG", self.dir.join("app.toml").display().to_string()),
            ("APP_PUBLIC_URL", self.public_url.clone().unwrap_or_else(|| self.api_url())),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        Launch {
            binary: self.binaries.join(name),
            arguments: Vec::new(),
            environment: environment.chain(self.environment.clone()).collect(),
            url: format!("http://127.0.0.1:{port}"),
            ready_path,
            log: self.dir.join(format!("{name}-{number}.log")),
        }
    }
}
