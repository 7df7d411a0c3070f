//! What a webhook says, as its adapter reads it, with the documents that it needs for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use providers::{Fetched, Provider, Webhook, WebhookError, WebhookRequest};
use url::Url;

use super::documents::{Documents, Privacy, Wanted};
use super::keep::Arrived;
use super::parse_memory::{ParseMemory, count_values};
use crate::body::Budget;
use crate::problem::Problem;

/// Reported as unverified: it may have panicked before it had verified the webhook.
const PANICKED: &str = "reading it failed by a defect of this server; the server's log has the place: report it, and \
                        replay the webhook once it is mended";

/// Larger ones are read on a thread of their own: inbound email is megabytes of MIME.
pub(super) const READ_INLINE_BYTES_MAX: usize = 128 << 10;
/// For one webhook.
const DOCUMENTS_MAX: usize = 2;

pub(super) type Understood = Result<Webhook, WebhookError>;

/// Who reads a webhook, and with what.
pub(super) struct Reader<'a> {
    pub documents: &'a Documents,
    /// The memory for documents.
    pub budget: &'a Budget,
    /// The memory for parsing.
    pub parsing: &'a ParseMemory,
    pub adapter: &'a Arc<dyn Provider>,
    /// The provider's configured address.
    pub base_url: &'a Url,
    pub public_url: &'a str,
    /// Of a document that is for us alone.
    pub private_bytes_max: usize,
    pub now: Timestamp,
}

/// [`WebhookError::Needs`] remains where the document cannot be had. A panic of the adapter is [`PANICKED`].
///
/// # Errors
/// When the server is shutting down.
pub(super) async fn understand(
    reader: &Reader<'_>,
    mut arrived: Arrived,
) -> Result<(Arrived, Understood), Problem> {
    let mut fetched = Vec::new();
    let mut is_private = false;
    loop {
        let understood;
        (arrived, fetched, understood) = read(reader, arrived, fetched).await?;
        let Err(WebhookError::Needs(url)) = &understood else { return Ok((arrived, understood)) };
        if fetched.len() >= DOCUMENTS_MAX {
            return Ok((arrived, understood));
        }
        let authorization = reader.adapter.document_authorization(url);
        // What a private document leads to is as private, although its address may be proof enough.
        is_private |= authorization.is_some();
        let privacy = match is_private {
            true => Privacy::Private { authorization, bytes_max: reader.private_bytes_max },
            false => Privacy::Public,
        };
        match reader.documents.get(&Wanted { url, base_url: reader.base_url, privacy }, reader.budget).await {
            Ok(document) => {
                fetched.push(document.fetched);
                arrived.share = arrived.share.and(document.share);
            }
            Err(why) => {
                tracing::warn!(
                    provider.id = arrived.provider_id,
                    why,
                    "a document for a webhook cannot be had"
                );
                return Ok((arrived, understood));
            }
        }
    }
}

async fn read(
    reader: &Reader<'_>,
    mut arrived: Arrived,
    fetched: Vec<Fetched>,
) -> Result<(Arrived, Vec<Fetched>, Understood), Problem> {
    let bytes = arrived.body.len() + fetched.iter().map(|document| document.body.len()).sum::<usize>();
    let (adapter, now) = (Arc::clone(reader.adapter), reader.now);
    // The URL that the provider was told, which it signs; never from a proxy's headers.
    let url = format!("{}{}", reader.public_url, arrived.target);
    if bytes <= READ_INLINE_BYTES_MAX {
        let understood = call(&adapter, &request(&arrived, &url, &fetched, now), &arrived.provider_id);
        return Ok((arrived, fetched, understood));
    }
    let content_type = arrived.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let values = match count_values(content_type.unwrap_or_default(), &arrived.body) {
        Ok(values) => values,
        Err(error) => return Ok((arrived, fetched, Err(error))),
    };
    let memory = reader.parsing.take(bytes, values).await?;
    let read = move || {
        let understood = call(&adapter, &request(&arrived, &url, &fetched, now), &arrived.provider_id);
        // What is verified goes on to take memory until it is stored.
        if matches!(understood, Ok(_) | Err(WebhookError::Unparsable(_))) {
            arrived.share = arrived.share.and(memory.into());
        }
        (arrived, fetched, understood)
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal().because(error))
}

/// The adapter changes nothing that outlives the call.
fn call(adapter: &Arc<dyn Provider>, request: &WebhookRequest<'_>, provider_id: &str) -> Understood {
    catch_unwind(AssertUnwindSafe(|| adapter.webhook(request))).unwrap_or_else(|_| {
        tracing::error!(provider.id = provider_id, "the adapter panicked while it read a webhook");
        Err(WebhookError::Unverified(PANICKED.to_owned()))
    })
}

pub(super) fn request<'a>(
    arrived: &'a Arrived,
    url: &'a str,
    fetched: &'a [Fetched],
    now: Timestamp,
) -> WebhookRequest<'a> {
    WebhookRequest {
        method: &arrived.method,
        url,
        headers: &arrived.headers,
        body: &arrived.body,
        now,
        fetched,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use model::Outcome;
    use providers::{Call, Outgoing, WebhookReply};

    use crate::server::PeerAddress;

    use super::super::documents::tests::{FOUND, answers};
    use super::*;

    /// Wants these documents, one after the other; has a key for some.
    #[derive(Debug)]
    struct Wants {
        urls: Vec<String>,
        key_for: Option<String>,
    }

    impl Provider for Wants {
        fn call(&self, _message: &Outgoing<'_>) -> Result<Call, Outcome> {
            Err(Outcome::Unreachable { detail: String::new() })
        }

        fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
            match self.urls.iter().find(|url| request.document(url).is_none()) {
                Some(url) => Err(WebhookError::Needs(url.clone())),
                None => Ok(Webhook {
                    reply: WebhookReply { content_type: "text/plain", body: "read".into() },
                    ..Webhook::default()
                }),
            }
        }

        fn document_authorization(&self, url: &str) -> Option<(HeaderName, HeaderValue)> {
            let has_key = self.key_for.as_deref() == Some(url);
            has_key.then(|| (AUTHORIZATION, HeaderValue::from_static("Bearer key")))
        }
    }

    async fn understood(documents: &Documents, urls: &[&str], key_for: Option<&str>) -> Understood {
        let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
        let base_url = Url::parse(&urls[0]).unwrap();
        let wants = Wants { urls, key_for: key_for.map(str::to_owned) };
        understood_by(Arc::new(wants), documents, &base_url, Bytes::new()).await
    }

    async fn understood_by(
        adapter: Arc<dyn Provider>,
        documents: &Documents,
        base_url: &Url,
        body: Bytes,
    ) -> Understood {
        let arrived = Arrived {
            provider_id: "p".to_owned(),
            method: Method::POST,
            target: "/api/webhooks/p".to_owned(),
            headers: HeaderMap::new(),
            body,
            share: crate::body::Share::default(),
            peer: PeerAddress::UNKNOWN,
            is_cut: false,
        };
        let reader = Reader {
            documents,
            budget: &Budget::of_units(1000),
            parsing: &ParseMemory::default(),
            adapter: &adapter,
            base_url,
            public_url: "https://relay.example.org",
            private_bytes_max: 1 << 20,
            now: Timestamp::UNIX_EPOCH,
        };
        understand(&reader, arrived).await.unwrap().1
    }

    #[tokio::test]
    async fn what_is_needed_is_fetched_and_the_webhook_read_again() {
        let mut server = answers(&[FOUND, FOUND]).await;
        let urls = [&*server.url, &format!("{}/2", server.url)];
        let read = understood(&Documents::default(), &urls, None).await.unwrap();
        assert_eq!(read.reply.body, "read");
        while let Some(asked) = server.asked() {
            assert!(!asked.contains("authorization"), "{asked}");
        }
    }

    #[tokio::test]
    async fn a_key_goes_only_with_the_document_it_is_for_and_what_that_leads_to_is_not_kept() {
        let documents = Documents::default();
        let large = format!("200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(100 << 10));
        let mut server = answers(&[FOUND, &large, FOUND, &large]).await;
        let urls = [&*server.url.clone(), &format!("{}/source", server.url)];
        for _ in 0..2 {
            understood(&documents, &urls, Some(urls[0])).await.unwrap();
            let (first, second) = (server.asked().unwrap(), server.asked().unwrap());
            assert!(first.contains("authorization: Bearer key"), "{first}");
            assert!(
                second.starts_with("GET /document/source ") && !second.contains("authorization"),
                "{second}"
            );
        }
    }

    #[derive(Debug)]
    struct Panics;

    impl Provider for Panics {
        fn call(&self, _message: &Outgoing<'_>) -> Result<Call, Outcome> {
            Err(Outcome::Unreachable { detail: String::new() })
        }

        fn webhook(&self, _request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
            panic!("a defect of the adapter")
        }
    }

    #[tokio::test]
    async fn an_adapter_that_panics_leaves_a_webhook_that_is_kept_as_unverified() {
        let base_url = Url::parse("https://provider.example").unwrap();
        for bytes in [0, READ_INLINE_BYTES_MAX + 1] {
            let body = Bytes::from(vec![b'x'; bytes]);
            let understood = understood_by(Arc::new(Panics), &Documents::default(), &base_url, body).await;
            assert_eq!(understood, Err(WebhookError::Unverified(PANICKED.to_owned())));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_had_and_a_third_document_remain_needed() {
        let documents = Documents::default();
        let gone = answers(&[]).await.url;
        assert_eq!(understood(&documents, &[&gone], None).await, Err(WebhookError::Needs(gone)));
        let one = answers(&[FOUND, FOUND, FOUND]).await.url;
        let (two, three) = (format!("{one}/2"), format!("{one}/3"));
        let understood = understood(&documents, &[&one, &two, &three], None).await;
        assert_eq!(understood, Err(WebhookError::Needs(three)));
    }
}
