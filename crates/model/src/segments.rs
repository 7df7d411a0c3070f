//! How many segments an SMS takes (3GPP TS 23.038 section 6.2 for the alphabet, TS 23.040 section 9.2.3.24.1 for the
//! header that joins them): what a carrier counts and charges.

/// Code points of the default alphabet: one septet each.
const DEFAULT: &str = concat!(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
);
/// Reached by an escape: two septets each.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How a text is written on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// GSM 7-bit.
    Gsm7,
    /// UTF-16, because a character is not in the GSM alphabet.
    Ucs2,
}

impl Alphabet {
    /// Units of a message that stands alone, and of each where several are joined.
    fn units_max(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// What a text takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    pub alphabet: Alphabet,
    /// At least 1.
    pub count: usize,
    /// Septets or UTF-16 code units.
    pub units: usize,
    /// Units that fit into as many segments before another one is needed.
    pub units_max: usize,
}

impl Segments {
    pub fn of(text: &str) -> Self {
        let widths: Option<Vec<usize>> = text.chars().map(septets).collect();
        let (alphabet, widths) = match widths {
            Some(septets) => (Alphabet::Gsm7, septets),
            None => (Alphabet::Ucs2, text.chars().map(char::len_utf16).collect()),
        };
        let (alone, joined) = alphabet.units_max();
        let units = widths.iter().sum();
        if units <= alone {
            return Self { alphabet, count: 1, units, units_max: alone };
        }
        let (mut count, mut used) = (1, 0);
        for width in widths {
            // No character is cut in two.
            if used + width > joined {
                (count, used) = (count + 1, 0);
            }
            used += width;
        }
        Self { alphabet, count, units, units_max: count * joined }
    }
}

fn septets(character: char) -> Option<usize> {
    if DEFAULT.contains(character) { Some(1) } else { EXTENSION.contains(character).then_some(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_with_their_headers() {
        let count = |text: &str| (Segments::of(text).alphabet, Segments::of(text).count);
        for (text, expected) in [
            (String::new(), (Alphabet::Gsm7, 1)),
            ("a".repeat(160), (Alphabet::Gsm7, 1)),
            ("a".repeat(161), (Alphabet::Gsm7, 2)),
            ("a".repeat(306), (Alphabet::Gsm7, 2)),
            ("a".repeat(307), (Alphabet::Gsm7, 3)),
            ("[".repeat(80), (Alphabet::Gsm7, 1)),
            // 153 is odd: 76 of them fit.
            ("[".repeat(152), (Alphabet::Gsm7, 2)),
            ("[".repeat(153), (Alphabet::Gsm7, 3)),
            ("ж".repeat(70), (Alphabet::Ucs2, 1)),
            ("ж".repeat(71), (Alphabet::Ucs2, 2)),
            ("😀".repeat(35), (Alphabet::Ucs2, 1)),
            ("😀".repeat(67), (Alphabet::Ucs2, 3)),
        ] {
            assert_eq!(count(&text), expected, "{text}");
        }
        assert_eq!(Segments::of("€uro").units, 5);
    }

    #[test]
    fn the_alphabet_has_its_128_code_points_but_the_escape() {
        assert_eq!(DEFAULT.chars().count(), 127);
    }
}
