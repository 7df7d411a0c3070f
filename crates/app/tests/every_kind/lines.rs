//! What is particular about each kind at the simulator: a line each. Everything else is the same for all.

use serde_json::{Value, json};

/// Where a webhook proves who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// A signature, a token or a password in these headers; a provider may sign by several at once.
    Headers(&'static [&'static str]),
    /// The first 64 hexadecimal digits of the body.
    HexInBody,
    /// The parameter `secret` of the webhook's address.
    Secret,
    /// SNS vouches by a certificate that only Amazon's hosts may serve, which nothing here may pretend to be. So the
    /// simulator's notifications are taken with `verify = false`, and what is shown here is that a provider with
    /// `verify` refuses one whose signature is none, before it asks anybody for a certificate. Signatures themselves
    /// are held to the fixtures of the kind, which have certificates.
    Sns,
}

/// A permanent refusal, and what we make of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Option<&'static str>,
    /// `status_payload.code` and `status_payload.provider_code`.
    pub(crate) becomes: (&'static str, &'static str),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) kind: &'static str,
    /// Our address.
    pub(crate) from: &'static str,
    /// What the last receipt makes of a message: `pending` where there is none of a message that went well.
    pub(crate) delivery: &'static str,
    /// The webhook's address as the operator enters it at the provider, behind our path.
    pub(crate) query: &'static str,
    /// Of receipts; none where there are none.
    pub(crate) receipts: Option<Proof>,
    pub(crate) inbound: Proof,
    pub(crate) refusal: Refusal,
    /// Whether the protocol can say how long to wait. Where it cannot, tries are further apart than this test waits.
    pub(crate) says_how_long: bool,
}

const NUMBER: &str = "+15005550006";
const ADDRESS: &str = "app@example.com";
const BASIC: Proof = Proof::Headers(&["authorization"]);

const fn line(kind: &'static str, from: &'static str, proof: Proof, refusal: Refusal) -> Line {
    Line {
        kind,
        from,
        delivery: "delivered",
        query: "",
        receipts: Some(proof),
        inbound: proof,
        refusal,
        says_how_long: true,
    }
}

const fn refusal(
    status: u16,
    code: &'static str,
    reason: &'static str,
    provider_code: &'static str,
) -> Refusal {
    Refusal { status, code: Some(code), becomes: (reason, provider_code) }
}

/// Where answers have no code but their status.
const fn refusal_by_status(status: u16) -> Refusal {
    Refusal { status, code: None, becomes: ("rejected", "400") }
}

/// Every kind, in alphabetical order.
pub(crate) const LINES: &[Line] = &[
    line("bandwidth", NUMBER, BASIC, refusal(400, "request-validation", "rejected", "request-validation")),
    line(
        "bird",
        NUMBER,
        Proof::Headers(&["messagebird-signature"]),
        refusal(422, "unknown_subscriber", "invalid_recipient", "unknown_subscriber"),
    ),
    line("http", NUMBER, BASIC, refusal(400, "no_such_number", "rejected", "no_such_number")),
    line(
        "infobip",
        NUMBER,
        BASIC,
        refusal(400, "REJECTED_DESTINATION", "invalid_recipient", "REJECTED_DESTINATION"),
    ),
    line("mailgun", ADDRESS, Proof::HexInBody, refusal_by_status(400)),
    line(
        "messagebird",
        NUMBER,
        Proof::Headers(&["messagebird-signature-jwt"]),
        refusal(422, "103", "opted_out", "103"),
    ),
    // The signature of messages does not cover their body, so that they need a secret besides; receipts bring one in
    // the address that each message names.
    Line {
        query: "?secret=simulator-webhook-secret",
        ..line(
            "plivo",
            NUMBER,
            Proof::Headers(&["x-plivo-signature-v2", "x-plivo-signature-ma-v2"]),
            refusal_by_status(400),
        )
    },
    line("postmark", ADDRESS, BASIC, refusal(422, "406", "invalid_recipient", "406")),
    line(
        "resend",
        ADDRESS,
        Proof::Headers(&["svix-signature"]),
        refusal(422, "invalid_attachment", "content_rejected", "invalid_attachment"),
    ),
    // Events are signed; mail is not, and brings the secret of its address.
    Line {
        query: "?secret=simulator-inbound-secret",
        inbound: Proof::Secret,
        ..line(
            "sendgrid",
            ADDRESS,
            Proof::Headers(&["x-twilio-email-event-webhook-signature"]),
            refusal_by_status(400),
        )
    },
    line("ses", ADDRESS, Proof::Sns, refusal(400, "MessageRejected", "content_rejected", "MessageRejected")),
    line(
        "sinch",
        NUMBER,
        Proof::Headers(&["x-sinch-webhook-signature"]),
        refusal(400, "unknown_group", "invalid_recipient", "unknown_group"),
    ),
    // Nobody reports a mail that went well. A refusal for now is taken for greylisting, which lasts a minute.
    Line {
        delivery: "pending",
        query: "?secret=simulator-webhook-secret",
        receipts: None,
        says_how_long: false,
        ..line("smtp", ADDRESS, Proof::Secret, refusal(550, "5.1.1", "invalid_recipient", "5.1.1"))
    },
    line(
        "telnyx",
        NUMBER,
        Proof::Headers(&["telnyx-signature-ed25519"]),
        refusal(400, "40001", "invalid_recipient", "40001"),
    ),
    line(
        "twilio",
        NUMBER,
        Proof::Headers(&["x-twilio-signature"]),
        refusal(400, "21211", "invalid_recipient", "21211"),
    ),
    line("vonage", NUMBER, BASIC, refusal(422, "1170", "invalid_recipient", "1170")),
    line(
        "whatsapp",
        "+15550100000",
        Proof::Headers(&["x-hub-signature-256"]),
        refusal(400, "131026", "invalid_recipient", "131026"),
    ),
];

impl Line {
    pub(crate) fn provider_id(&self) -> String {
        format!("sim-{}", self.kind)
    }

    pub(crate) fn is_email(&self) -> bool {
        self.from.contains('@')
    }

    /// Somebody's address, which no other kind and no other number of this one has.
    pub(crate) fn recipient(&self, number: usize) -> String {
        let place = LINES.iter().position(|line| line.kind == self.kind).unwrap();
        match self.is_email() {
            true => format!("ann-{number}@{}.example.net", self.kind),
            false => format!("+1202555{place:02}{number:02}"),
        }
    }

    /// A rule about the calls to a recipient.
    pub(crate) fn rule(&self, channel: &str, to: &str, fault: Value, times: Option<u32>) -> Value {
        // Twilio's own way to write it.
        let to = if self.kind == "twilio" && channel == "whatsapp" {
            format!("whatsapp:{to}")
        } else {
            to.to_owned()
        };
        json!({ "match": { "kind": self.kind, "to": to }, "fault": fault, "times": times })
    }
}
