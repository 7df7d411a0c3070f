//! From what a webhook said to rows: inbound messages and receipts, by group commit, answered after the commit.

use std::sync::Arc;

use app_db::media::NewFile;
use app_db::parked;
use app_db::receipts::{self, Applied, NewReceipt};
use app_db::receive::{self, Inbound, Received};
use app_db::{Error, Pool};
use model::{Bucket, Direction, Endpoint, EndpointError, IdGenerator, NewMessage, Participants, Priority};
use providers::{InboundMessage, Receipt};
use service::Clock;
use service::metrics::{Metrics, ProviderDelivery};

use super::keep::Arrived;
use crate::App;
use crate::after_commit::AfterCommit;
use crate::body::Share;
use crate::patience::Patience;
use crate::problem::Problem;
use crate::send::count_accepted;
use crate::times;

/// Receipts of one webhook that wait at once: a webhook may bring thousands.
const RECEIPTS_AT_ONCE: usize = 200;

/// An inbound message in the form in which it is stored.
///
/// # Errors
/// The field whose address is none, and why.
pub(super) fn normalise(
    app: &App,
    provider_id: &str,
    message: InboundMessage,
) -> Result<Inbound, (&'static str, EndpointError)> {
    let medium = message.channel.medium();
    // Either end may be what a recipient cannot be here: a short code answers, and is answered.
    let end = |field, text: &str| -> Result<Endpoint, (&'static str, EndpointError)> {
        app.config.addressing.received(medium, text).map_err(|error| (field, error))
    };
    let source = end("from", &message.from)?;
    let target = end("to", &message.to)?;
    let participants = Participants::between(medium, &source, &target);
    let (now, bucket) = (app.clock.now(), participants.bucket());
    let file = |file: providers::File| NewFile {
        id: app.ids.next(now, bucket),
        filename: storable(file.filename),
        content_type: storable(file.content_type),
        bytes: file.bytes,
    };
    let files: Vec<NewFile> = message.files.into_iter().map(file).collect();
    let links = files.iter().map(|file| format!("{}/api/media/{}", app.config.public_url, file.id));
    let attachments = message.attachments.into_iter().map(storable).chain(links).collect();
    let message_id = app.ids.next(now, bucket);
    Ok(Inbound {
        provider_id: provider_id.to_owned(),
        provider_message_id: storable(message.provider_message_id),
        files,
        message: NewMessage {
            id: message_id,
            participants,
            channel: message.channel,
            direction: Direction::Inbound,
            source,
            target,
            subject: message.subject.map(storable),
            body: storable(message.body),
            attachments,
            metadata: serde_json::Map::new(),
            priority: Priority::Normal,
            timestamp: message.timestamp.and_then(times::stored),
            send_at: None,
            expires_at: None,
        },
    })
}

/// No text column takes a NUL, and no message is lost for one.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Applies receipts in their order; what no message is known for is parked. Returns how many were.
pub(super) async fn apply(app: &App, arrived: &Arrived, receipts: Vec<Receipt>) -> Result<usize, Problem> {
    let provider_id = &arrived.provider_id;
    let receipts: Vec<NewReceipt> =
        receipts.into_iter().map(|receipt| to_store(provider_id, receipt)).collect();
    let mut unmatched = 0;
    for chunk in receipts.chunks(RECEIPTS_AT_ONCE) {
        let tickets: Vec<_> = chunk
            .iter()
            .map(|receipt| app.receipts.enter(receipt.clone(), arrived.share.clone()))
            .collect::<Result<_, _>>()?;
        for (receipt, ticket) in chunk.iter().zip(tickets) {
            match ticket.committed().await? {
                Applied::Unmatched => {
                    park(app, receipt).await?;
                    unmatched += 1;
                }
                Applied::Changed { .. } => {
                    let labels = ProviderDelivery::new(provider_id, receipt.delivery.as_str());
                    app.metrics.receipts.get_or_create(&labels).inc();
                }
                Applied::Stale => {}
            }
        }
    }
    Ok(unmatched)
}

fn to_store(provider_id: &str, receipt: Receipt) -> NewReceipt {
    NewReceipt {
        message_id: receipt.message_id,
        attempt: receipt.attempt,
        provider_id: provider_id.to_owned(),
        provider_message_id: receipt.provider_message_id.map(storable),
        delivery: receipt.delivery,
        provider_code: receipt.provider_code.map(storable),
        detail: receipt.detail.map(storable),
        temporary: receipt.temporary,
    }
}

/// Parks a receipt until the send whose message it names is settled. That may have happened since it was looked
/// for, and then nobody would look at what is parked: so it is tried once more.
async fn park(app: &App, receipt: &NewReceipt) -> Result<(), Problem> {
    let id = app.ids.next(app.clock.now(), Bucket(0));
    parked::park(&*app.database().await?, id, receipt).await?;
    if app.receipts.commit(receipt.clone(), Share::default()).await? != Applied::Unmatched {
        parked::forget(&*app.database().await?, id).await?;
    }
    Ok(())
}

/// Writes groups of inbound messages.
#[derive(Clone)]
pub(crate) struct WriteInbound {
    pub pool: Pool,
    pub ids: Arc<IdGenerator>,
    pub clock: Clock,
    pub metrics: Metrics,
    pub after_commit: Arc<AfterCommit>,
    pub patience: Arc<Patience>,
}

impl WriteInbound {
    pub(crate) async fn write(self, group: Vec<Inbound>) -> Vec<Result<Received, Error>> {
        let results = loop {
            let results = receive::receive(&self.pool, &self.ids, self.clock.now(), &group).await;
            if !self.patience.again(&results).await {
                break results;
            }
        };
        let (mut conversation_ids, mut channels) = (Vec::new(), Vec::new());
        for (inbound, result) in group.iter().zip(&results) {
            if let Ok(Received { new: true, conversation_id, .. }) = result {
                channels.push(inbound.message.channel);
                conversation_ids.extend(*conversation_id);
            }
        }
        count_accepted(&self.metrics, Direction::Inbound, channels.into_iter());
        if !conversation_ids.is_empty() {
            self.after_commit.touch(conversation_ids.into_iter());
        }
        results
    }
}

/// Writes groups of receipts.
#[derive(Clone)]
pub(crate) struct WriteReceipts {
    pub pool: Pool,
    pub ids: Arc<IdGenerator>,
    pub clock: Clock,
    pub patience: Arc<Patience>,
}

impl WriteReceipts {
    pub(crate) async fn write(self, group: Vec<NewReceipt>) -> Vec<Result<Applied, Error>> {
        loop {
            let results = receipts::apply(&self.pool, &self.ids, self.clock.now(), &group).await;
            if !self.patience.again(&results).await {
                break results;
            }
        }
    }
}
