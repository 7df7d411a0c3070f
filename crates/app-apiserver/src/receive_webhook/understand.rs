//! What a webhook says, as its adapter reads it, with the documents that it needs for that.

use std::sync::Arc;

use jiff::Timestamp;
use providers::{Fetched, Provider, Webhook, WebhookError, WebhookRequest};

use super::documents::Documents;
use super::keep::Arrived;
use crate::problem::Problem;

/// Larger ones are read on a thread of their own: inbound email is megabytes of MIME.
const READ_INLINE_BYTES_MAX: usize = 128 << 10;
/// For one webhook.
const DOCUMENTS_MAX: usize = 2;

pub(super) type Understood = Result<Webhook, WebhookError>;

/// [`WebhookError::Needs`] remains where the document cannot be had.
///
/// # Errors
/// When reading it panicked.
pub(super) async fn understand(
    documents: &Documents,
    adapter: &Arc<dyn Provider>,
    mut arrived: Arrived,
    public_url: &str,
    now: Timestamp,
) -> Result<(Arrived, Understood), Problem> {
    let mut fetched = Vec::new();
    loop {
        let understood;
        (arrived, fetched, understood) =
            read(Arc::clone(adapter), arrived, fetched, public_url.to_owned(), now).await?;
        let Err(WebhookError::Needs(url)) = &understood else { return Ok((arrived, understood)) };
        if fetched.len() >= DOCUMENTS_MAX {
            return Ok((arrived, understood));
        }
        match documents.get(url).await {
            Ok(document) => fetched.push(document),
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
    adapter: Arc<dyn Provider>,
    arrived: Arrived,
    fetched: Vec<Fetched>,
    public_url: String,
    now: Timestamp,
) -> Result<(Arrived, Vec<Fetched>, Understood), Problem> {
    let is_small = arrived.body.len() <= READ_INLINE_BYTES_MAX;
    let read = move || {
        // The URL that the provider was told, which it signs; never from a proxy's headers.
        let url = format!("{public_url}{}", arrived.target);
        let understood = adapter.webhook(&WebhookRequest {
            method: &arrived.method,
            url: &url,
            headers: &arrived.headers,
            body: &arrived.body,
            now,
            fetched: &fetched,
        });
        (arrived, fetched, understood)
    };
    if is_small {
        return Ok(read());
    }
    tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal().because(error))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use model::Outcome;
    use providers::{Call, Outgoing, WebhookReply};

    use super::super::documents::tests::{FOUND, answers};
    use super::*;

    /// Wants these documents, one after the other.
    #[derive(Debug)]
    struct Wants(Vec<String>);

    impl Provider for Wants {
        fn call(&self, _message: &Outgoing<'_>) -> Result<Call, Outcome> {
            Err(Outcome::Unreachable { detail: String::new() })
        }

        fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
            match self.0.iter().find(|url| request.document(url).is_none()) {
                Some(url) => Err(WebhookError::Needs(url.clone())),
                None => Ok(Webhook {
                    reply: WebhookReply { content_type: "text/plain", body: "read".into() },
                    ..Webhook::default()
                }),
            }
        }
    }

    async fn understood(urls: &[&str]) -> Understood {
        let adapter: Arc<dyn Provider> = Arc::new(Wants(urls.iter().map(|&url| url.to_owned()).collect()));
        let arrived = Arrived {
            provider_id: "p".to_owned(),
            method: Method::POST,
            target: "/api/webhooks/p".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            share: crate::body::Share::default(),
        };
        let (documents, now) = (Documents::without_tls(), Timestamp::UNIX_EPOCH);
        understand(&documents, &adapter, arrived, "https://relay.example.org", now).await.unwrap().1
    }

    #[tokio::test]
    async fn what_is_needed_is_fetched_and_the_webhook_read_again() {
        let (one, two) = (answers(&[FOUND]).await, answers(&[FOUND]).await);
        assert_eq!(understood(&[&one, &two]).await.unwrap().reply.body, "read");
    }

    #[tokio::test]
    async fn what_cannot_be_had_and_a_third_document_remain_needed() {
        let gone = answers(&[]).await;
        assert_eq!(understood(&[&gone]).await, Err(WebhookError::Needs(gone)));
        let (one, two, three) = (answers(&[FOUND]).await, answers(&[FOUND]).await, answers(&[FOUND]).await);
        assert_eq!(understood(&[&one, &two, &three]).await, Err(WebhookError::Needs(three)));
    }
}
