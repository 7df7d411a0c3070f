//! Memory for parsing large webhooks: a parser copies what it reads, and a value of JSON or of a form takes more than
//! its text. So parsing waits until its memory is free, and what can never fit is not parsed.

use std::sync::Arc;
use std::time::Duration;

use providers::WebhookError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Problem;

/// Of the 256 MiB for webhooks.
const MEMORY_BYTES: usize = 96 << 20;
const UNIT_BYTES: usize = 64 << 10;
/// Copies of the text: decoded, and taken apart.
const COPIES: usize = 2;
/// Of one value of JSON, or one field of a form: itself, its place in a list, its own small text.
const VALUE_BYTES: usize = 80;
/// Parsing waits so long for its memory.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The memory that parsing may take at once, over all webhooks.
#[derive(Debug)]
pub(crate) struct ParseMemory(Arc<Semaphore>);

impl Default for ParseMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY_BYTES / UNIT_BYTES)))
    }
}

impl ParseMemory {
    /// Waits until a body of so many bytes and values can be parsed.
    ///
    /// # Errors
    /// 503 where others take the memory for too long.
    pub(super) async fn take(&self, bytes: usize, values: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let needed = bytes.saturating_mul(COPIES).saturating_add(values.saturating_mul(VALUE_BYTES));
        let units = needed.clamp(UNIT_BYTES, MEMORY_BYTES) / UNIT_BYTES;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let taken = timeout(WAIT_TIMEOUT, Arc::clone(&self.0).acquire_many_owned(units)).await;
        taken.map_err(|_| Problem::overloaded())?.map_err(|_| Problem::overloaded())
    }
}

/// How many values a JSON or form body has, about.
///
/// # Errors
/// [`WebhookError::Unverified`] where the values of a JSON or form body would take more memory than there is.
pub(super) fn count_values(content_type: &str, body: &[u8]) -> Result<usize, WebhookError> {
    let is_form = content_type.contains("x-www-form-urlencoded");
    let has_values = is_form || content_type.contains("json") || looks_like_json(body);
    let begins_value =
        |byte: &&u8| if is_form { **byte == b'&' } else { matches!(**byte, b',' | b'[' | b'{') };
    let count = if has_values { body.iter().filter(begins_value).count() } else { 0 };
    if count > MEMORY_BYTES / VALUE_BYTES {
        let why = "it has more values than any webhook of a provider, and was not read";
        return Err(WebhookError::Unverified(why.to_owned()));
    }
    Ok(count)
}

/// SNS posts JSON as plain text.
fn looks_like_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parsing_waits_for_memory_and_not_for_ever() {
        let memory = ParseMemory::default();
        let large = memory.take(usize::MAX, 0).await.unwrap();
        assert_eq!(memory.take(1, 1).await.unwrap_err().status().as_u16(), 503);
        drop(large);
        assert!(memory.take(1, 1).await.is_ok());
    }

    #[test]
    fn a_body_of_countless_values_is_not_parsed() {
        let many = |value: &str| value.repeat(2_000_000).into_bytes();
        for (content_type, value) in
            [("application/x-www-form-urlencoded", "a&"), ("application/json", "[],"), ("text/plain", "[0,")]
        {
            assert!(count_values(content_type, &many(value)).is_err(), "{content_type}");
        }
        for (content_type, value) in [
            ("multipart/form-data; boundary=x", "a,"),
            ("application/x-www-form-urlencoded", "a,"),
            ("application/json", "abcdefgh"),
        ] {
            assert!(count_values(content_type, &many(value)).is_ok(), "{content_type}");
        }
    }
}
