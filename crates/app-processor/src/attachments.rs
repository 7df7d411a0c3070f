//! The files of email messages, fetched before the provider is called and under the message's lease. What happens here
//! is never an unknown outcome: the provider has not heard of the message yet.

mod download;
mod public_address;

use std::borrow::Cow;
use std::sync::Arc;

use app_db::claim::Claimed;
use model::{Channel, Outcome, Reason};
use providers::File;
use service::config::{Attachments, OnFailure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use url::Url;
use uuid::Uuid;

use self::download::Downloader;
use crate::Processor;

/// Files of one message that are fetched at once.
const AT_ONCE: usize = 4;
/// Files of all messages that are fetched at once.
const AT_ONCE_ALL: usize = 32;

/// What a message is sent with.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    pub files: Vec<File>,
    /// What was not fetched.
    pub links: Cow<'a, [String]>,
}

/// Why a file cannot be had. In our words, without its address, which may be nobody else's business.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// Nor later.
    Final(String),
    /// Perhaps later.
    ForNow(String),
    /// Our own database is away.
    Database,
}

#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    config: Attachments,
    downloader: Downloader,
    /// What our own files' addresses begin with. They are read from the database: their addresses want an API key,
    /// may be inside, and would lead back to us through whatever stands in front.
    media_prefix: String,
    slots: Arc<Semaphore>,
}

impl Fetcher {
    pub(crate) fn new(config: &service::Config) -> Result<Self, String> {
        Ok(Self {
            config: config.attachments.clone(),
            downloader: Downloader::new(config.attachments.allow_private)?,
            media_prefix: format!("{}/api/media/", config.public_url),
            slots: Arc::new(Semaphore::new(AT_ONCE_ALL)),
        })
    }
}

impl Processor {
    /// Given up when the processor stops: the provider was not asked, and the message is due again.
    ///
    /// # Errors
    /// The message's outcome, where it is not to be sent without a file, or not now.
    pub(crate) async fn gather<'a>(&self, claimed: &'a Claimed) -> Result<Gathered<'a>, Outcome> {
        tokio::select! {
            biased;
            gathered = self.gather_files(claimed) => gathered,
            () = self.stopping.cancelled() => {
                Err(Outcome::Unreachable { detail: "the processor stopped while the files were fetched".to_owned() })
            }
        }
    }

    async fn gather_files<'a>(&self, claimed: &'a Claimed) -> Result<Gathered<'a>, Outcome> {
        let urls = &claimed.attachments;
        let config = &self.fetcher.config;
        if claimed.channel != Channel::Email || urls.is_empty() || !config.fetch {
            return Ok(Gathered { files: Vec::new(), links: Cow::Borrowed(urls) });
        }
        let deadline = Instant::now() + config.timeout;
        let mut files: Vec<File> = Vec::new();
        let mut links = Vec::new();
        let mut left = config.total_bytes_max;
        // One group after the other: no more bytes are in hand than the limits of a group beyond the total.
        for (group, urls) in urls.chunks(AT_ONCE).enumerate() {
            for (place, fetched) in self.fetch(urls, left, deadline).await.into_iter().enumerate() {
                let fetched = fetched.and_then(|file| match left.checked_sub(file.bytes.len()) {
                    Some(rest) => {
                        left = rest;
                        Ok(file)
                    }
                    None => Err(Failure::Final("the files are too large together".to_owned())),
                });
                match fetched {
                    Ok(file) => files.push(file),
                    Err(failure) => {
                        let number = group * AT_ONCE + place + 1;
                        self.decide(claimed, number, failure)?;
                        links.push(urls[place].clone());
                    }
                }
            }
        }
        if !self.leases.is_kept(claimed.lease()) {
            return Err(Outcome::Unreachable { detail: "the lease was lost during the fetch".to_owned() });
        }
        Ok(Gathered { files, links: Cow::Owned(links) })
    }

    /// Whether a message goes out without its file.
    fn decide(&self, claimed: &Claimed, number: usize, failure: Failure) -> Result<(), Outcome> {
        let (why, outcome): (_, fn(String) -> Outcome) = match failure {
            // As for everything else that needs the database: later, at no cost.
            Failure::Database => {
                return Err(Outcome::Unreachable { detail: "the database, for an attachment".to_owned() });
            }
            Failure::Final(why) => (why, |detail| Outcome::Rejected {
                reason: Reason::ContentRejected,
                provider_code: None,
                detail,
            }),
            Failure::ForNow(why) => {
                (why, |detail| Outcome::Unavailable { retry_after: None, provider_code: None, detail })
            }
        };
        if self.fetcher.config.on_failure == OnFailure::Fail {
            return Err(outcome(format!("attachment {number} cannot be fetched: {why}")));
        }
        let message_id = claimed.message_id;
        tracing::warn!(message.id = %message_id, number, why, "an attachment cannot be fetched; it is sent as a link");
        Ok(())
    }

    /// In their order.
    async fn fetch(&self, urls: &[String], left: usize, deadline: Instant) -> Vec<Result<File, Failure>> {
        let limit = left.min(self.fetcher.config.bytes_max);
        let mut tasks = JoinSet::new();
        for (place, url) in urls.iter().enumerate() {
            let (fetcher, pool, url) = (self.fetcher.clone(), self.parts.pool.clone(), url.clone());
            tasks.spawn(async move {
                let fetched = timeout_at(deadline, fetcher.fetch_one(&pool, &url, limit)).await;
                (
                    place,
                    fetched.unwrap_or_else(|_| {
                        Err(Failure::ForNow("not within attachments.timeout_s".to_owned()))
                    }),
                )
            });
        }
        let mut fetched = tasks.join_all().await;
        fetched.sort_by_key(|(place, _)| *place);
        fetched.into_iter().map(|(_, file)| file).collect()
    }
}

impl Fetcher {
    async fn fetch_one(&self, pool: &app_db::Pool, url: &str, limit: usize) -> Result<File, Failure> {
        let _slot = self.slots.acquire().await;
        if let Some(id) = url.strip_prefix(&self.media_prefix).and_then(|id| Uuid::try_parse(id).ok()) {
            return stored(pool, id, limit).await;
        }
        let url = Url::parse(url).map_err(|_| Failure::Final("its address is none".to_owned()))?;
        self.downloader.download(url, limit).await
    }
}

/// A file that came with a message.
async fn stored(pool: &app_db::Pool, id: Uuid, limit: usize) -> Result<File, Failure> {
    let find = async { app_db::media::find(&app_db::pool::get(pool).await?, id).await };
    let found = find.await.map_err(|_: app_db::Error| Failure::Database)?;
    let file = found.ok_or_else(|| Failure::Final("there is no such file here (any more)".to_owned()))?;
    if file.bytes.len() > limit {
        return Err(Failure::Final(too_large(limit)));
    }
    Ok(File { filename: file.filename, content_type: file.content_type, bytes: file.bytes })
}

fn too_large(limit: usize) -> String {
    format!("it is larger than {limit} bytes")
}
