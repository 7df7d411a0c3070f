//! Numbers that were found to be in E.164 already: the library that says so takes longer than all else that is done
//! with an address, and the same numbers come again and again. Must hold nothing that the library did not confirm.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOT_BITS: u32 = 14;
/// A number that comes later takes the slot of an earlier one: memory is fixed, and forgetting costs time only.
static SLOTS: [AtomicU64; 1 << SLOT_BITS] = [const { AtomicU64::new(0) }; 1 << SLOT_BITS];

/// A text of a plus and up to 15 digits, as one integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(u64);

impl Packed {
    /// Nothing where the text has another form. No two texts have the same integer: the 1 before the digits keeps
    /// their leading zeros apart.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?.as_bytes();
        let fits = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        fits.then(|| Self(digits.iter().fold(1, |number, digit| number * 10 + u64::from(digit - b'0'))))
    }

    pub(crate) fn is_known(self) -> bool {
        self.slot().load(Ordering::Relaxed) == self.0
    }

    pub(crate) fn remember(self) {
        self.slot().store(self.0, Ordering::Relaxed);
    }

    fn slot(self) -> &'static AtomicU64 {
        // Fibonacci hashing: numbers of one range spread over all slots.
        let hash = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOT_BITS);
        &SLOTS[usize::try_from(hash).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plus_and_digits_are_packed_and_each_text_differently() {
        let texts = ["+1", "+01", "+001", "+11", "+12025550100", "+999999999999999"];
        let packed: Vec<Packed> = texts.iter().map(|text| Packed::of(text).unwrap()).collect();
        for (position, one) in packed.iter().enumerate() {
            assert!(!packed[position + 1..].contains(one), "{}", texts[position]);
        }
        for text in ["", "+", "12025550100", "+1202555010x", "+1 2025550100", "++1", "+1234567890123456"] {
            assert_eq!(Packed::of(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_remembered_is_known_and_nothing_else() {
        let [one, other] = ["+491700000001", "+491700000002"].map(|text| Packed::of(text).unwrap());
        assert!(!one.is_known());
        one.remember();
        assert!(one.is_known() && !other.is_known());
    }
}
