//! The one place that does provider I/O over HTTP. What matters when a call breaks is whether a byte of the
//! request had been written: before, nothing happened; after, nobody knows.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use app_db::claim::Claimed;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::{Outcome, Reason};
use providers::{Answer, Call, Outgoing};
use service::{Clock, ProviderConfig};
use tokio::time::{Instant, timeout};

use crate::Processor;
use crate::attachments::Gathered;
use crate::candidate::Candidate;
use crate::smtp::SmtpClient;
use crate::thread::Thread;

/// Longer answers are not read: no provider has anything to say in so many bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below what servers usually allow an idle connection, so that they seldom close one under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How an attempt ended, and whether the provider had a part in it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The provider was called.
    Answered(Outcome),
    /// Its adapter refused the message: the provider was not asked, and another one may take it.
    Refused(Outcome),
    /// Something that the message needs was not there: no provider would have been asked.
    Unprepared(Outcome),
}

/// A provider's own client, so that no provider waits for another's connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    timeout: Duration,
}

impl HttpClient {
    pub(crate) fn new(provider: &ProviderConfig) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        // Less than the call's own time-out: a connection that never comes about is then told from a call that
        // was never answered.
        let limit = CONNECT_TIMEOUT.min(provider.timeout.mul_f64(0.8));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(provider.max_in_flight)
            .pool_timer(TokioTimer::new())
            .build(Timed { connector: https, limit });
        Ok(Self { client, timeout: provider.timeout })
    }

    /// The provider's answer, or the outcome that its absence means.
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Outcome> {
        let call = async {
            let response = self.client.request(request.map(Full::new)).await.map_err(|error| {
                let detail = root_cause(&error);
                if error.is_connect() {
                    Outcome::Unreachable { detail }
                } else {
                    Outcome::Uncertain { reason: Reason::ConnectionReset, detail }
                }
            })?;
            let (parts, body) = response.into_parts();
            let bytes = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                let reason = if error.is::<LengthLimitError>() {
                    Reason::UnreadableAnswer
                } else {
                    Reason::ConnectionReset
                };
                let detail = format!("HTTP {}, then: {error}", parts.status.as_u16());
                Outcome::Uncertain { reason, detail }
            })?;
            Ok(Response::from_parts(parts, bytes.to_bytes()))
        };
        timeout(self.timeout, call).await.unwrap_or_else(|_| {
            let detail = format!("no answer within {} ms", self.timeout.as_millis());
            Err(Outcome::Uncertain { reason: Reason::Timeout, detail })
        })
    }
}

/// The innermost error: the outer ones only say that a request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl Processor {
    /// One attempt.
    pub(crate) async fn send(
        &self,
        candidate: &Candidate,
        claimed: &Claimed,
        gathered: &Gathered<'_>,
    ) -> Ended {
        let provider = &candidate.config;
        let thread = Thread::after(&claimed.before);
        let outgoing = Outgoing {
            message_id: claimed.message_id,
            attempt: claimed.attempt + 1,
            channel: claimed.channel,
            from: &claimed.source,
            to: &claimed.target,
            subject: claimed.subject.as_deref(),
            body: &claimed.body,
            attachments: &gathered.links,
            files: &gathered.files,
            in_reply_to: thread.in_reply_to.as_deref(),
            references: &thread.references,
            webhook_url: &candidate.webhook_url,
            now: self.parts.clock.now(),
        };
        let began = Instant::now();
        match candidate.transports.call(provider, &outgoing, &self.parts.clock).await {
            Ok(outcome) => {
                candidate.meters.attempt(&outcome, began.elapsed());
                Ended::Answered(outcome)
            }
            Err(refusal) => Ended::Refused(refusal),
        }
    }
}

/// A provider's ways out.
#[derive(Debug)]
pub(crate) struct Transports {
    http: HttpClient,
    smtp: SmtpClient,
}

impl Transports {
    pub(crate) fn new(provider: &ProviderConfig) -> Result<Self, String> {
        Ok(Self { http: HttpClient::new(provider)?, smtp: SmtpClient::new(provider) })
    }

    /// One call, and what its answer means.
    ///
    /// # Errors
    /// The adapter's refusal of a message that does not fit the provider: nothing was sent.
    pub(crate) async fn call(
        &self,
        provider: &ProviderConfig,
        outgoing: &Outgoing<'_>,
        clock: &Clock,
    ) -> Result<Outcome, Outcome> {
        let called = match provider.adapter.call(outgoing)? {
            Call::Http(request) => self.http.call(request).await.map(Answer::Http),
            Call::Smtp(submission) => self.smtp.submit(&submission).await.map(Answer::Smtp),
        };
        Ok(called.map_or_else(|outcome| outcome, |answer| provider.adapter.outcome(&answer, clock.now())))
    }
}

/// A connector whose whole work, name look-up and TLS included, has a time limit.
#[derive(Clone, Debug)]
pub(crate) struct Timed<C> {
    pub(crate) connector: C,
    pub(crate) limit: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> tower::Service<Uri> for Timed<C>
where
    C: tower::Service<Uri>,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("no connection within {} ms", limit.as_millis()).into()),
            }
        })
    }
}
