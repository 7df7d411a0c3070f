//! Resend's error names (https://resend.com/docs/api-reference/errors).

use crate::error_codes::{Class, ErrorCode, RETRY, entry};

/// In ascending order.
pub(super) const ERROR_CODES: &[ErrorCode] = &[
    entry("application_error", RETRY, "internal error at Resend"),
    entry("concurrent_idempotent_requests", Class::Retry { wait_s: 5 }, "an earlier call is still under way"),
    entry("daily_quota_exceeded", Class::Halt, "the day's quota is used up"),
    entry("internal_server_error", RETRY, "internal error at Resend"),
    entry("invalid_access", Class::Configuration, "the API key may not do this"),
    entry("invalid_api_key", Class::Halt, "the API key is wrong"),
    entry("invalid_attachment", Class::Content, "an attachment is not valid"),
    entry("invalid_from_address", Class::Configuration, "the sender is not a valid address"),
    entry("invalid_idempotency_key", Class::Configuration, "the idempotency key is not valid"),
    // This attempt was called before, and what became of that call is not said.
    entry(
        "invalid_idempotent_request",
        Class::Unknown,
        "an earlier call of this attempt had another content",
    ),
    entry("invalid_parameter", Class::Refuse, "a parameter is not valid"),
    entry("invalid_region", Class::Configuration, "the region is not valid"),
    entry("method_not_allowed", Class::Configuration, "check base_url"),
    entry("missing_api_key", Class::Halt, "the API key is missing"),
    entry("missing_required_field", Class::Refuse, "a field is missing"),
    entry("monthly_quota_exceeded", Class::Halt, "the month's quota is used up"),
    entry("not_found", Class::Configuration, "check base_url"),
    entry("rate_limit_exceeded", Class::Throttle, "too many requests"),
    entry("restricted_api_key", Class::Halt, "the API key may not send"),
    entry("security_error", Class::Refuse, "refused for security"),
    entry("validation_error", Class::Refuse, "a field is not valid"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn codes_ascend() {
        crate::error_codes::assert_ascending(super::ERROR_CODES);
    }
}
