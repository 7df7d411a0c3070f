//! Who takes part in a conversation, in a canonical form: A→B and B→A are the same participants.

use sha2::{Digest, Sha256};

use crate::{Bucket, Endpoint, Medium};

/// The participants of a conversation: sorted, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participants {
    medium: Medium,
    endpoints: Vec<String>,
    hash: [u8; 32],
}

impl Participants {
    /// The two ends of a message, whichever of them sent it. Email addresses are compared without regard to
    /// case: RFC 5321 section 2.4 lets a host tell `Ann` from `ann`, but none that people use does.
    pub fn between(medium: Medium, a: &Endpoint, b: &Endpoint) -> Self {
        let mut endpoints = vec![a.grouping_key(), b.grouping_key()];
        endpoints.sort();
        endpoints.dedup();
        let hash = hash(medium, &endpoints);
        Self { medium, endpoints, hash }
    }

    pub fn medium(&self) -> Medium {
        self.medium
    }

    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// SHA-256 over the medium and the endpoints, one a line: the conversation's natural key. Its first byte is
    /// the conversation's bucket. Stored rows depend on this form; it must never change.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    pub fn bucket(&self) -> Bucket {
        Bucket::of_hash(&self.hash)
    }
}

fn hash(medium: Medium, endpoints: &[String]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(medium.as_str());
    for endpoint in endpoints {
        sha.update("\n");
        sha.update(endpoint);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(medium: Medium, a: &str, b: &str) -> Participants {
        Participants::between(medium, &Endpoint::stored(a), &Endpoint::stored(b))
    }

    #[test]
    fn both_directions_are_the_same_participants() {
        let there = between(Medium::Phone, "+12025550100", "+12025550199");
        let back = between(Medium::Phone, "+12025550199", "+12025550100");
        assert_eq!(there, back);
        assert_eq!(there.hash(), back.hash());
    }

    #[test]
    fn whatsapp_and_sms_between_the_same_numbers_are_two_conversations() {
        let sms = between(Medium::Phone, "+12025550100", "+12025550199");
        let whatsapp = between(Medium::Whatsapp, "+12025550100", "+12025550199");
        assert_ne!(sms.hash(), whatsapp.hash());
        assert_eq!(sms.endpoints(), whatsapp.endpoints());
    }

    #[test]
    fn email_addresses_group_without_regard_to_case() {
        let lower = between(Medium::Email, "ann@example.com", "app@example.com");
        let upper = between(Medium::Email, "Ann@example.com", "app@example.com");
        assert_eq!(lower.hash(), upper.hash());
    }

    #[test]
    fn the_hash_is_the_one_that_stored_rows_have() {
        let hash = between(Medium::Phone, "+12025550100", "+12025550199").hash();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a4f1d6a7a4169e3126e70d5350ebedc40e27a2decbe16eb905783be0749202b8");
    }
}
