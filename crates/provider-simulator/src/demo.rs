//! The credentials of the demonstration, of the kinds that have no options of their own. They protect nothing: they
//! are published here so that a configuration and a simulator can be made to match.

/// User and password that webhooks bring where the provider signs nothing.
pub const DEMO_WEBHOOK_CREDENTIALS: &str = "hook:simulator-webhook-secret";

pub const DEMO_BANDWIDTH_ACCOUNT_ID: &str = "5500001";
pub const DEMO_BANDWIDTH_USER: &str = "simulator";
pub const DEMO_BANDWIDTH_PASSWORD: &str = "simulator-password";

pub const DEMO_BIRD_WORKSPACE_ID: &str = "5ade0000-0000-4000-8000-0000000000a1";
pub const DEMO_BIRD_CHANNEL_ID: &str = "5ade0000-0000-4000-8000-0000000000c1";
pub const DEMO_BIRD_ACCESS_KEY: &str = "simulator-access-key";
pub const DEMO_BIRD_SIGNING_KEY: &str = "simulator-signing-key";

pub const DEMO_HTTP_TOKEN: &str = "simulator-http-token";

pub const DEMO_INFOBIP_API_KEY: &str = "5ade000000000001-simulator";

pub const DEMO_MAILGUN_DOMAIN: &str = "mg.example.com";
pub const DEMO_MAILGUN_API_KEY: &str = "key-simulator";
pub const DEMO_MAILGUN_SIGNING_KEY: &str = "simulator-signing-key";

pub const DEMO_MESSAGEBIRD_ACCESS_KEY: &str = "simulator-access-key";
pub const DEMO_MESSAGEBIRD_SIGNING_KEY: &str = "simulator-signing-key-0001";

pub const DEMO_PLIVO_AUTH_ID: &str = "MASIMULATOR000000001";
pub const DEMO_PLIVO_AUTH_TOKEN: &str = "simulator-auth-token";

pub const DEMO_POSTMARK_SERVER_TOKEN: &str = "5ade0000-0000-4000-8000-simulator";

pub const DEMO_RESEND_API_KEY: &str = "re_simulator";
/// `whsec_` and base64 of 24 bytes.
pub const DEMO_RESEND_SIGNING_SECRET: &str = "whsec_c2ltdWxhdG9yLXdlYmhvb2stc2VjcmV0";

pub const DEMO_SES_ACCESS_KEY_ID: &str = "AKIASIMULATOR0000001";
pub const DEMO_SES_SECRET_ACCESS_KEY: &str = "simulator-secret-access-key";
/// The topic of the events.
pub const DEMO_SES_TOPIC_ARN: &str = "arn:aws:sns:eu-central-1:123456789012:simulator";

pub const DEMO_SINCH_SERVICE_PLAN_ID: &str = "5ade0000simulator";
pub const DEMO_SINCH_API_TOKEN: &str = "simulator-api-token";
pub const DEMO_SINCH_WEBHOOK_SECRET: &str = "simulator-webhook-secret";

pub const DEMO_SMTP_USER: &str = "simulator";
pub const DEMO_SMTP_PASSWORD: &str = "simulator-password";

pub const DEMO_TELNYX_API_KEY: &str = "KEY5ADE0000SIMULATOR";
/// The seed of an Ed25519 key.
pub const DEMO_TELNYX_SIGNING_KEY: &str = "CjVyCT48bAhV5btKnHl94n5P+z7HOW2W7IjO2VWz/60=";
/// The other half of [`DEMO_TELNYX_SIGNING_KEY`].
pub const DEMO_TELNYX_PUBLIC_KEY: &str = "ZXv6Qwlja1T3DuOsxedSZs+Eanbg6gzDdqTNc9C3VQs=";

pub const DEMO_VONAGE_API_KEY: &str = "5ade0001";
pub const DEMO_VONAGE_API_SECRET: &str = "simulator-api-secret";
/// Signs webhooks. The application is [`DEMO_VONAGE_APPLICATION_ID`].
pub const DEMO_VONAGE_SIGNATURE_SECRET: &str = "simulator-signature-secret-32-bytes";
pub const DEMO_VONAGE_APPLICATION_ID: &str = "5ade0000-0000-4000-8000-000000000001";

pub const DEMO_WHATSAPP_PHONE_NUMBER_ID: &str = "106540000000001";
pub const DEMO_WHATSAPP_ACCESS_TOKEN: &str = "EAASIMULATOR";
pub const DEMO_WHATSAPP_APP_SECRET: &str = "simulator-app-secret";
