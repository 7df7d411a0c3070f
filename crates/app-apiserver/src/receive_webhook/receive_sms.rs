//! `POST /api/webhooks/sms`

use axum::Json;
use axum::extract::{Request, State};
use model::Medium;

use super::generic::{self, ReceivedJson, describe_inbound};
use crate::App;
use crate::problem::Problem;

describe_inbound! {
    /// An SMS or MMS that came in. Further fields are ignored.
    #[schema(example = json!({
        "from": "+12025550199", "to": "+12025550100", "type": "sms", "messaging_provider_id": "message-1",
        "body": "Hello back", "attachments": null, "timestamp": "2026-11-23T08:31:00Z"
    }))]
    InboundSms {
        from: String,
        to: String,
        /// `sms` or `mms`.
        #[schema(required = false, pattern = "^(sms|mms)$")]
        r#type: Option<String>,
    }
}

/// Receive an SMS or MMS
///
/// For providers without an adapter. The same message, delivered any number of times, is stored once and answered
/// 200 each time. Needs the secret of `[webhooks]` as soon as there is an API key or a provider that is not simulated.
/// Without one, the Host header must name this server. The name of a configured provider is refused.
#[utoipa::path(
    post,
    path = "/api/webhooks/sms",
    tag = "webhooks",
    operation_id = "receive_sms",
    security((), ("webhook_secret" = [])),
    request_body(content = InboundSms, description = "The message"),
    responses(
        (status = 200, description = "Stored, or stored before", body = ReceivedJson),
        (status = 401, description = "`unauthorized`: without the right secret", body = Problem,
            content_type = "application/problem+json"),
        (status = 403, description = "`webhook_secret_not_configured`: a secret is needed; `forbidden_host`, \
            `cross_site`: a server without keys is called by another name, or by another site",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn receive_sms(
    State(app): State<App>,
    request: Request,
) -> Result<Json<ReceivedJson>, Problem> {
    generic::receive(&app, request, Medium::Phone).await.map(Json)
}
