//! The one place that speaks SMTP. What matters when a connection breaks is whether a mail's last line had been sent:
//! before, no server has taken anything; after, without a reply, nobody knows. The dialogue is `smtp/session.rs`.

mod pool;
mod session;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Outcome, Reason};
use providers::{SmtpReply, SmtpStage, Submission};
use service::ProviderConfig;
use tokio::time::timeout;

use self::pool::Pool;
use self::session::{Failure, Session};
use self::stream::Connector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A provider's own connections, so that no provider waits for another's.
#[derive(Debug)]
pub(crate) struct SmtpClient {
    pool: Arc<Pool>,
    connector: Connector,
    connect_timeout: Duration,
    timeout: Duration,
}

impl SmtpClient {
    pub(crate) fn new(provider: &ProviderConfig) -> Self {
        Self {
            pool: Arc::new(Pool::new(provider.max_in_flight)),
            connector: Connector::default(),
            connect_timeout: CONNECT_TIMEOUT.min(provider.timeout.mul_f64(0.8)),
            timeout: provider.timeout,
        }
    }

    /// The server's last word, or the outcome that its absence means.
    pub(crate) async fn submit(&self, submission: &Submission) -> Result<SmtpReply, Outcome> {
        let (began, said_all) = (AtomicBool::new(false), AtomicBool::new(false));
        let failure = match timeout(self.timeout, self.attempt(submission, &began, &said_all)).await {
            Ok(Ok(reply) | Err(Failure::Reply(reply))) => return Ok(reply),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Late(format!("no answer within {} ms", self.timeout.as_millis())),
        };
        Err(match (failure, said_all.load(Ordering::Relaxed)) {
            (Failure::Late(detail), true) => Outcome::Uncertain { reason: Reason::Timeout, detail },
            (Failure::Unreadable(detail), true) => {
                Outcome::Uncertain { reason: Reason::UnreadableAnswer, detail }
            }
            (Failure::Broken(detail), true) => Outcome::Uncertain { reason: Reason::ConnectionReset, detail },
            // The server was there: it is this mail that takes too long, and says nothing of others.
            (Failure::Late(detail), false) if began.load(Ordering::Relaxed) => {
                Outcome::Unavailable { retry_after: None, provider_code: None, detail }
            }
            (Failure::Late(detail) | Failure::Unreadable(detail) | Failure::Broken(detail), false) => {
                Outcome::Unreachable { detail }
            }
            // Answered above.
            (Failure::Reply(reply), _) => return Ok(reply),
        })
    }

    /// An idle connection may have been closed by the server in the meantime; then a new one takes its place.
    async fn attempt(
        &self,
        submission: &Submission,
        began: &AtomicBool,
        said_all: &AtomicBool,
    ) -> Result<SmtpReply, Failure> {
        if let Some(session) = self.pool.take() {
            began.store(true, Ordering::Relaxed);
            match self.say(session, submission, said_all).await {
                Err(failure) if failure.closes() && !said_all.load(Ordering::Relaxed) => {}
                result => return result,
            }
        }
        began.store(false, Ordering::Relaxed);
        let connecting = self.connector.connect(&submission.server);
        let stream = timeout(self.connect_timeout, connecting).await.unwrap_or_else(|_| {
            let detail = format!("no connection within {} ms", self.connect_timeout.as_millis());
            Err(Failure::Late(detail))
        })?;
        let session = Session::open(stream, &submission.server, &self.connector).await?;
        began.store(true, Ordering::Relaxed);
        self.say(session, submission, said_all).await
    }

    async fn say(
        &self,
        mut session: Session,
        submission: &Submission,
        said_all: &AtomicBool,
    ) -> Result<SmtpReply, Failure> {
        let result = session.submit(submission, said_all).await;
        // A refusal ends the mail, not the connection; 421 says that the server ends it.
        if let Ok(reply) | Err(Failure::Reply(reply)) = &result
            && reply.code != session::CLOSING
            && !session.is_worn_out()
        {
            self.pool.put(session);
        }
        result
    }
}

impl Failure {
    /// Whether it may be no more than the end of a connection that was idle.
    fn closes(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Reply(reply) => reply.code == session::CLOSING && reply.stage == SmtpStage::MailFrom,
            Self::Unreadable(_) | Self::Late(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
