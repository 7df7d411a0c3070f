//! Parts of the `app.toml` that scenarios put together.

use provider_simulator::{
    DEMO_SENDGRID_API_KEY, DEMO_SENDGRID_INBOUND_SECRET, DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY,
    DEMO_TWILIO_ACCOUNT_SID, DEMO_TWILIO_AUTH_TOKEN,
};

/// Retries within fractions of a second and leases of two: what a scenario waits for comes soon.
pub const IMPATIENT: &str = "[processor]\nlease_s = 2\nbackoff_base_s = 0.1\nbackoff_cap_s = 2\n";

/// A provider of kind `twilio` at a simulator; `more` holds further lines of its table.
pub fn twilio(id: &str, base_url: &str, more: &str) -> String {
    format!(
        "[[providers]]\nid = \"{id}\"\nkind = \"twilio\"\nbase_url = \"{base_url}\"\n\
         account_sid = \"{DEMO_TWILIO_ACCOUNT_SID}\"\nauth_token = \"{DEMO_TWILIO_AUTH_TOKEN}\"\n{more}\n"
    )
}

/// A provider of kind `sendgrid` at a simulator.
pub fn sendgrid(id: &str, base_url: &str) -> String {
    format!(
        "[[providers]]\nid = \"{id}\"\nkind = \"sendgrid\"\nbase_url = \"{base_url}\"\n\
         api_key = \"{DEMO_SENDGRID_API_KEY}\"\nwebhook_public_key = \"{DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY}\"\n\
         inbound_secret = \"{DEMO_SENDGRID_INBOUND_SECRET}\"\n"
    )
}

/// SMS to numbers of a prefix go to one provider. The route is named `sms:PREFIX`.
pub fn sms_route(to_prefix: &str, provider_id: &str) -> String {
    format!("[[routes]]\nchannel = \"sms\"\nto_prefix = \"{to_prefix}\"\nproviders = [\"{provider_id}\"]\n")
}
