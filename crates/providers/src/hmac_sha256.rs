//! HMAC-SHA256 (RFC 2104), as most providers sign their webhooks by it. Compares in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::hex::hex;

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(parts.iter().fold(mac, |mac, part| mac.chain_update(part)))
}

/// Whether the key signed the parts, one after the other.
pub(crate) fn verifies(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    mac(key, parts).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

/// As [`verifies`], for a signature in lower-case hexadecimal. Other letters are another signature.
pub(crate) fn verifies_hex(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    mac(key, parts).is_some_and(|mac| hex(&mac.finalize().into_bytes()).as_bytes().ct_eq(signature).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_of_its_key_and_its_parts() {
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let parts: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
        assert!(verifies(b"Jefe", parts, &bytes) && verifies_hex(b"Jefe", parts, hex.as_bytes()));
        assert!(!verifies(b"jefe", parts, &bytes) && !verifies_hex(b"jefe", parts, hex.as_bytes()));
        assert!(!verifies(b"Jefe", &parts[..1], &bytes) && !verifies(b"Jefe", parts, &bytes[..31]));
        assert!(!verifies_hex(b"Jefe", parts, hex.to_uppercase().as_bytes()));
        assert!(!verifies(b"Jefe", parts, b"") && !verifies_hex(b"Jefe", parts, b""));
    }
}
