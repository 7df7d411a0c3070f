//! The app-db that a command works on: DATABASE_URL's, the one that a running `app up` embeds, or the embedded one
//! started for as long as the command takes.

use std::path::Path;

use anyhow::Context;
use app_db::Pool;
use app_db::embedded::Embedded;
use secrecy::ExposeSecret;
use service::Config;

/// Where the embedded app-db and logs are.
pub(crate) const DATA_DIR: &str = "data";

/// A connection for a command, whose statements may work long.
pub(crate) async fn client(pool: &Pool) -> anyhow::Result<app_db::Client> {
    match app_db::pool::get_for_long(pool).await {
        Err(error @ app_db::Error::Unusable(_)) => Err(error.into()),
        other => other.context("app-db cannot be reached (DATABASE_URL, or else ./data)"),
    }
}

#[derive(Debug)]
pub(crate) struct AppDb {
    pub(crate) pool: Pool,
    embedded: Option<Embedded>,
}

impl AppDb {
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let data_dir = Path::new(DATA_DIR);
        let (url, embedded) = match &config.database_url {
            Some(url) => (url.expose_secret().to_owned(), None),
            None => match Embedded::url_of_running(data_dir) {
                Some(url) => (url, None),
                None => {
                    let embedded = Embedded::start(data_dir).await?;
                    (embedded.url(), Some(embedded))
                }
            },
        };
        Ok(Self { pool: app_db::connect(&url, 2)?, embedded })
    }

    pub(crate) async fn client(&self) -> anyhow::Result<app_db::Client> {
        client(&self.pool).await
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.pool.close();
        match self.embedded {
            Some(embedded) => Ok(embedded.stop().await?),
            None => Ok(()),
        }
    }
}
