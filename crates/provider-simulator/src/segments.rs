//! How many segments a text takes: GSM 03.38 where every character is in it, else UCS-2.

const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// At least 1, as Twilio counts an empty text.
pub(crate) fn count(text: &str) -> usize {
    let widths: Option<Vec<usize>> = text.chars().map(septets).collect();
    match widths {
        Some(septets) => split(&septets, 160, 153),
        None => split(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67),
    }
}

fn septets(character: char) -> Option<usize> {
    if BASIC.contains(character) {
        Some(1)
    } else if EXTENSION.contains(character) {
        Some(2)
    } else {
        None
    }
}

/// A character is never cut in two, so a segment may stay a unit short.
fn split(widths: &[usize], alone: usize, joined: usize) -> usize {
    if widths.iter().sum::<usize>() <= alone {
        return 1;
    }
    let (mut segments, mut used) = (1, 0);
    for width in widths {
        if used + width > joined {
            segments += 1;
            used = 0;
        }
        used += width;
    }
    segments
}

/// Whether GSM 03.38 has every character.
pub(crate) fn is_gsm(text: &str) -> bool {
    text.chars().all(|character| septets(character).is_some())
}

#[cfg(test)]
mod tests {
    use super::{count, is_gsm};

    #[test]
    fn segments_are_counted_as_carriers_do() {
        let cases = [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 153 is odd: 76 of them to a segment.
            ("€".repeat(153), 3),
            ("д".repeat(70), 1),
            ("д".repeat(71), 2),
            ("👍".repeat(35), 1),
            // 67 is odd: 33 to a segment.
            ("👍".repeat(67), 3),
        ];
        for (text, segments) in cases {
            assert_eq!(count(&text), segments, "{} characters", text.chars().count());
        }
    }

    #[test]
    fn segments_are_counted_as_twilios_calculator_counts_them() {
        let vectors = include_str!("../../providers/tests/contract/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for vector in vectors["sms_segments"]["vectors"].as_array().unwrap() {
            let text = vector["text"].as_str().unwrap();
            assert_eq!(count(text), vector["segments"], "{vector}");
            assert_eq!(if is_gsm(text) { "GSM-7" } else { "UCS-2" }, vector["encoding"], "{vector}");
        }
    }
}
