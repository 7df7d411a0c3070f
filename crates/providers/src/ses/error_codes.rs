//! What the exceptions of `SendEmail` mean
//! (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and .../CommonErrors.html).

use crate::Class;
use crate::error_codes::{ErrorCode, RETRY, entry};

pub(super) const TABLE: &[ErrorCode] = &[
    entry("AccessDenied", Class::Forbidden, "the access key may not send; check its policy"),
    entry("AccessDeniedException", Class::Forbidden, "the access key may not send; check its policy"),
    entry("AccountSuspendedException", Class::Halt, "the account may no longer send"),
    entry("BadRequestException", Class::Refuse, "SES cannot make sense of the request"),
    entry("ExpiredToken", Class::Halt, "session_token has expired"),
    entry("ExpiredTokenException", Class::Halt, "session_token has expired"),
    entry("IncompleteSignature", Class::Halt, "the signature is not complete"),
    entry("InternalFailure", RETRY, "SES failed"),
    entry("InternalServerError", RETRY, "SES failed"),
    entry("InvalidClientTokenId", Class::Halt, "there is no such access key"),
    entry("InvalidSignatureException", Class::Halt, "check secret_access_key, region and the clock"),
    entry("LimitExceededException", Class::Throttle, "the day's quota is used up"),
    entry("MailFromDomainNotVerifiedException", Class::Configuration, "the MAIL FROM domain is not verified"),
    entry("MessageRejected", Class::Content, "SES refuses the content"),
    entry("MessageRejectedException", Class::Content, "SES refuses the content"),
    entry("MissingAuthenticationToken", Class::Halt, "the request is not signed"),
    entry("NotFoundException", Class::Configuration, "there is no such configuration set"),
    entry("OptInRequired", Class::Halt, "the account has not subscribed to SES"),
    entry("RequestExpired", Class::Halt, "the clock is wrong by more than minutes"),
    entry(
        "SendingPausedException",
        Class::Halt,
        "sending is paused for the account or its configuration set",
    ),
    entry("ServiceUnavailable", RETRY, "SES is not available"),
    entry("SignatureDoesNotMatch", Class::Halt, "check secret_access_key, region and the clock"),
    entry("Throttling", Class::Throttle, "more than the account's rate"),
    entry("ThrottlingException", Class::Throttle, "more than the account's rate"),
    entry("TooManyRequestsException", Class::Throttle, "more than the account's rate"),
    entry("UnrecognizedClientException", Class::Halt, "there is no such access key"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_found() {
        crate::error_codes::assert_ascending(super::TABLE);
    }
}
