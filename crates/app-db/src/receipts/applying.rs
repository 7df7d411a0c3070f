//! What a receipt changes of its message, in memory: the locked rows are written afterwards, all at once.

use model::receipt::{MessageSnapshot, ReceiptInfo, ReceiptStep, after_receipt};
use model::transition::EventKind;
use model::{Delivery, Reason, Status, StatusPayload};
use uuid::Uuid;

use super::{Applied, NewReceipt};

pub(super) struct Row {
    pub(super) status: Status,
    pub(super) delivery: Delivery,
    pub(super) attempt: u32,
    pub(super) lease_no: i32,
    pub(super) unanswered: bool,
    /// The provider of the call that may be under way.
    pub(super) leased_provider: Option<String>,
    pub(super) provider_id: Option<String>,
    pub(super) provider_message_id: Option<String>,
    pub(super) payload: Option<StatusPayload>,
    pub(super) confirming: bool,
    /// While it is to be confirmed: who accepted it, and whose carriers have refused it since.
    pub(super) accepted_by: Vec<String>,
    pub(super) refused_by: Vec<String>,
    pub(super) step: Option<Step>,
}

/// What is to be written of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It leaves the outbox.
    Settle,
    /// It stays there.
    Note,
    /// It stays there, and is due now.
    HandOver,
}

#[derive(Clone)]
pub(super) struct Event {
    pub(super) message_id: Uuid,
    pub(super) id: Uuid,
    pub(super) kind: EventKind,
    pub(super) status: Status,
    pub(super) delivery: Delivery,
    pub(super) attempt: u32,
    pub(super) provider_id: String,
    pub(super) provider_code: Option<String>,
    pub(super) detail: Option<String>,
}

impl Row {
    /// Changes the row in memory, and adds what happened to the events.
    pub(super) fn apply(
        &mut self,
        receipt: &NewReceipt,
        attempt: u32,
        message_id: Uuid,
        next_id: &mut impl FnMut() -> Uuid,
        events: &mut Vec<Event>,
    ) -> Applied {
        if !apply_one(self, receipt, attempt) {
            return Applied::Stale;
        }
        let event = Event {
            message_id,
            id: next_id(),
            kind: EventKind::Receipt,
            status: self.status,
            delivery: receipt.delivery,
            attempt,
            provider_id: receipt.provider_id.clone(),
            provider_code: receipt.provider_code.clone(),
            detail: receipt.detail.clone(),
        };
        // Another call than the receipt's is under way, and no settle will record it any more.
        let is_settled = self.step == Some(Step::Settle);
        let is_of_another_call = attempt != self.attempt;
        if let Some(provider_id) = self
            .leased_provider
            .take_if(|id| is_settled && (is_of_another_call || *id != receipt.provider_id))
        {
            events.push(Event {
                id: next_id(),
                kind: EventKind::OutcomeUnknown,
                attempt: self.attempt,
                provider_id,
                provider_code: None,
                detail: None,
                ..event.clone()
            });
        }
        events.push(event);
        Applied::Changed { message_id }
    }
}

/// Whether it changed the row in memory.
fn apply_one(row: &mut Row, receipt: &NewReceipt, attempt: u32) -> bool {
    let message = MessageSnapshot {
        status: row.status,
        delivery: row.delivery,
        attempt: row.attempt,
        unanswered: row.unanswered,
        confirming: row.confirming,
    };
    let info = ReceiptInfo {
        delivery: receipt.delivery,
        attempt,
        about_an_acceptance: row.was_accepted_by(&receipt.provider_id),
    };
    match after_receipt(message, info) {
        ReceiptStep::Nothing => return false,
        ReceiptStep::Settles => {
            row.step = Some(Step::Settle);
            row.status = Status::Ok;
            row.delivery = receipt.delivery;
            row.payload = payload_of(receipt);
            row.unanswered = false;
            row.confirming = false;
            row.provider_id = Some(receipt.provider_id.clone());
            row.provider_message_id = receipt.provider_message_id.clone().or(row.provider_message_id.take());
        }
        ReceiptStep::Notes => {
            row.step = row.step.or(Some(Step::Note));
            row.delivery = receipt.delivery;
        }
        // Its delivery stays as it was: the next provider's attempt is still to come.
        ReceiptStep::HandsOver => {
            row.step = Some(Step::HandOver);
            row.payload = payload_of(receipt);
            row.refused_by.push(receipt.provider_id.clone());
        }
    }
    true
}

impl Row {
    /// Whether that provider accepted it, nothing was said against that, and it is not confirmed yet; also where the
    /// message ended with that acceptance, although others were asked after it.
    fn was_accepted_by(&self, provider_id: &str) -> bool {
        if self.confirming {
            let is_in = |list: &[String]| list.iter().any(|id| id == provider_id);
            return is_in(&self.accepted_by) && !is_in(&self.refused_by);
        }
        let ended_so =
            self.payload.as_ref().is_some_and(|payload| payload.code == Reason::AwaitingDelivery.as_str());
        ended_so && self.provider_id.as_deref() == Some(provider_id)
    }
}

/// What a receipt leaves in `status_payload`: of a refusal whether another try might help, of any the provider's code.
fn payload_of(receipt: &NewReceipt) -> Option<StatusPayload> {
    let refused = receipt.delivery == Delivery::Undelivered;
    (refused || receipt.provider_code.is_some()).then(|| StatusPayload {
        code: receipt.delivery.as_str().to_owned(),
        provider_code: receipt.provider_code.clone(),
        detail: receipt.detail.clone(),
        temporary: refused.then_some(receipt.temporary),
    })
}
