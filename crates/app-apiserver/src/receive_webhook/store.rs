//! From what a webhook said to rows: inbound messages and receipts, by group commit, answered after the commit.

use std::sync::Arc;

use app_db::media::NewFile;
use app_db::receipts::{self, Applied, NewReceipt};
use app_db::receive::{self, Inbound, Received};
use app_db::{Error, Pool};
use model::{Direction, Endpoint, EndpointError, IdGenerator, NewMessage, Participants, Priority};
use providers::{InboundMessage, Receipt};
use service::clock::DatabaseClock;
use service::metrics::{Metrics, ProviderDelivery};
use tokio::time::Instant;

use super::keep::Arrived;
use super::park::{count, park};
use crate::App;
use crate::after_commit::AfterCommit;
use crate::patience::{Met, Patience};
use crate::problem::Problem;
use crate::send::count_accepted;
use crate::times;

/// Receipts of one webhook that wait at once: a webhook may bring thousands.
const RECEIPTS_AT_ONCE: usize = 200;

/// Attachments of one message, of which each may be a row.
const ATTACHMENTS_MAX: usize = 500;
/// The number of attachments that only the last file of a message holds.
const OMITTED_FILES: &str = "omitted_files";

/// An inbound message in the form in which it is stored. `source` is the webhook that brought it.
///
/// # Errors
/// The field whose address is none, and why.
pub(super) fn normalise(
    app: &App,
    provider_id: &str,
    source: &Arrived,
    mut message: InboundMessage,
) -> Result<Inbound, (&'static str, EndpointError)> {
    bound_attachments(&mut message, source);
    let medium = message.channel.medium();
    // Either end may be what a recipient cannot be here: a short code answers, and is answered.
    let end = |field, text: &str| -> Result<Endpoint, (&'static str, EndpointError)> {
        app.config.addressing.received(medium, text).map_err(|error| (field, error))
    };
    let source = end("from", &message.from)?;
    let target = end("to", &message.to)?;
    let participants = Participants::between(medium, &source, &target);
    let (now, bucket) = (app.database_clock.now(), participants.bucket());
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
            metadata: metadata(message.omitted_files),
            priority: Priority::Normal,
            timestamp: message.timestamp.and_then(times::stored),
            send_at: None,
            expires_at: None,
        },
    })
}

/// Where there are more attachments than a message may have, the last one is the webhook, which has them all.
fn bound_attachments(message: &mut InboundMessage, source: &Arrived) {
    let count = message.attachments.len() + message.files.len();
    if count <= ATTACHMENTS_MAX {
        return;
    }
    // An adapter that omitted some has put their source among the files already.
    let has_source = message.omitted_files > 0;
    let others_max = if has_source { ATTACHMENTS_MAX } else { ATTACHMENTS_MAX - 1 };
    message.files.truncate(others_max);
    message.attachments.truncate(others_max - message.files.len());
    message.omitted_files += count - message.attachments.len() - message.files.len();
    if !has_source {
        message.files.push(source.as_file());
    }
}

/// What is noted about a message that came in.
fn metadata(omitted_files: usize) -> serde_json::Map<String, serde_json::Value> {
    let omitted = (omitted_files > 0).then(|| (OMITTED_FILES.to_owned(), omitted_files.to_string().into()));
    omitted.into_iter().collect()
}

/// No text column takes a NUL, and no message is lost for one.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Applies receipts in their order. Those for which no message is known yet are parked; those that are about no call of
/// their provider are counted. Returns how many were parked.
pub(super) async fn apply(app: &App, arrived: &Arrived, receipts: Vec<Receipt>) -> Result<usize, Problem> {
    let provider_id = &arrived.provider_id;
    let receipts: Vec<NewReceipt> =
        receipts.into_iter().map(|receipt| to_store(provider_id, receipt)).collect();
    let mut unmatched = Vec::new();
    for chunk in receipts.chunks(RECEIPTS_AT_ONCE) {
        let tickets: Vec<_> = chunk
            .iter()
            .map(|receipt| app.receipts.enter(receipt.clone(), arrived.share.clone()))
            .collect::<Result<_, _>>()?;
        for (receipt, ticket) in chunk.iter().zip(tickets) {
            match ticket.committed().await? {
                Applied::Unmatched => unmatched.push(receipt.clone()),
                Applied::Changed { .. } => {
                    let labels = ProviderDelivery::new(provider_id, receipt.delivery.as_str());
                    app.metrics.receipts.get_or_create(&labels).inc();
                }
                Applied::Stale => count(app, receipt, "stale"),
                Applied::Ignored(why) => {
                    tracing::debug!(
                        provider.id = provider_id,
                        message.id = receipt.message_id.map(tracing::field::display),
                        why = why.as_str(),
                        "a receipt is about no call of its provider"
                    );
                    count(app, receipt, why.as_str());
                }
            }
        }
    }
    let parked = unmatched.len();
    for chunk in unmatched.chunks(RECEIPTS_AT_ONCE) {
        park(app, chunk.to_vec()).await?;
    }
    Ok(parked)
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

/// Writes groups of inbound messages.
#[derive(Clone)]
pub(crate) struct WriteInbound {
    pub pool: Pool,
    pub ids: Arc<IdGenerator>,
    pub clock: DatabaseClock,
    pub metrics: Metrics,
    pub after_commit: Arc<AfterCommit>,
    pub patience: Arc<Patience>,
}

impl WriteInbound {
    pub(crate) async fn write(self, group: Vec<Inbound>) -> Vec<Result<Received, Error>> {
        let began = Instant::now();
        let results = loop {
            let results = receive::receive(&self.pool, &self.ids, self.clock.now(), &group).await;
            if !self.patience.waits_to_repeat(began, Met::by_group(&results)).await {
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
    pub clock: DatabaseClock,
    pub patience: Arc<Patience>,
}

impl WriteReceipts {
    pub(crate) async fn write(self, group: Vec<NewReceipt>) -> Vec<Result<Applied, Error>> {
        let began = Instant::now();
        loop {
            let results = receipts::apply(&self.pool, &self.ids, self.clock.now(), &group).await;
            if !self.patience.waits_to_repeat(began, Met::by_group(&results)).await {
                break results;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Delivery;
    use testkit::fixtures::Fixtures;
    use testkit::until;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_comes_while_the_database_is_away_for_a_moment_is_written_when_it_is_back() {
        let database = testkit::database().await;
        let (pool, f) = (database.pool.clone(), Fixtures::new());
        let [of_inbound, of_receipts] = [(); 2].map(|()| Arc::new(Patience::default()));
        let inbound = Inbound {
            message: f.inbound_sms(2, 1),
            provider_id: "p".to_owned(),
            provider_message_id: "SM1".to_owned(),
            files: Vec::new(),
        };
        let receipt = NewReceipt {
            message_id: None,
            attempt: None,
            provider_id: "p".to_owned(),
            provider_message_id: Some("SM2".to_owned()),
            delivery: Delivery::Delivered,
            provider_code: None,
            detail: None,
            temporary: false,
        };
        let (ids, clock) = (Arc::new(IdGenerator::seeded(1)), DatabaseClock::new(service::Clock::System));
        let write_inbound = WriteInbound {
            pool: pool.clone(),
            ids: Arc::clone(&ids),
            clock: clock.clone(),
            metrics: Metrics::default(),
            after_commit: Arc::new(AfterCommit::new(Arc::new(Notify::new()))),
            patience: Arc::clone(&of_inbound),
        };
        let write_receipts = WriteReceipts { pool, ids, clock, patience: Arc::clone(&of_receipts) };
        database.go_away().await;
        let back = async {
            until("both have met it", async || {
                (of_inbound.knows_an_outage() && of_receipts.knows_an_outage()).then_some(())
            })
            .await;
            database.come_back().await;
        };
        let (received, applied, ()) =
            tokio::join!(write_inbound.write(vec![inbound]), write_receipts.write(vec![receipt]), back);
        assert!(received[0].as_ref().unwrap().new);
        assert_eq!(*applied[0].as_ref().unwrap(), Applied::Unmatched);
    }
}
