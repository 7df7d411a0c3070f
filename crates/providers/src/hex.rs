//! Lower-case hexadecimal, and the hashes that are written so.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the text is the SHA-256 of the bytes. In constant time.
pub(crate) fn is_sha256_of(text: &str, bytes: &[u8]) -> bool {
    hex(&Sha256::digest(bytes)).as_bytes().ct_eq(text.as_bytes()).into()
}
