//! Properties that hold for every address, text and wait, not for examples.

use std::time::Duration;

use model::segments::{Alphabet, Segments};
use model::{Addressing, Medium, RetryPolicy};
use proptest::prelude::*;

const MEDIA: [Medium; 3] = [Medium::Phone, Medium::Email, Medium::Whatsapp];

/// Texts that look like addresses, and any other.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[ +]?[0-9() ./-]{3,20}",
        "[A-Za-z0-9 &+._-]{1,12}",
        "[!-~äöüß日İ.]{1,70}@[A-Za-z0-9äöüßİ.-]{1,80}\\.[a-zßİ]{2,5}",
        "[A-Z]{2}\\.[A-Za-z0-9.]{1,20}",
    ]
}

proptest! {
    #[test]
    fn a_normal_address_is_its_own_normal_form(text in address(), medium in prop::sample::select(&MEDIA[..])) {
        let addressing = Addressing::default();
        if let Ok(endpoint) = addressing.received(medium, &text) {
            prop_assert_eq!(addressing.received(medium, endpoint.as_str()), Ok(endpoint));
        }
    }

    #[test]
    fn who_may_receive_may_send_under_the_same_address(text in address(), medium in prop::sample::select(&MEDIA[..])) {
        let addressing = Addressing::default();
        if let Ok(endpoint) = addressing.recipient(medium, &text) {
            // Three to eight digits are a short code where a sender stands.
            let is_short = endpoint.as_str() != text.trim() && text.trim().len() <= 8;
            let sender = addressing.sender(medium, &text);
            prop_assert!(sender == Ok(endpoint) || is_short, "{:?}", sender);
        }
    }

    #[test]
    fn an_address_holds_no_space_around_it_and_no_control(text in address(), medium in prop::sample::select(&MEDIA[..])) {
        if let Ok(endpoint) = Addressing::default().received(medium, &text) {
            let address = endpoint.as_str();
            prop_assert!(!address.is_empty() && address.trim() == address && !address.contains(char::is_control));
            prop_assert!(address.len() <= 254);
        }
    }

    #[test]
    fn segments_hold_their_units_and_never_less_for_a_longer_text(
        text in "[a-zA-Z0-9 €\\[\\]^{}äж😀\n]{0,700}",
        more in "[a-z€ж😀]{1,20}",
    ) {
        let segments = Segments::of(&text);
        prop_assert!(segments.count >= 1 && segments.units <= segments.units_max);
        let alone = if segments.alphabet == Alphabet::Gsm7 { 160 } else { 70 };
        prop_assert_eq!(segments.count == 1, segments.units <= alone);
        let longer = Segments::of(&format!("{text}{more}"));
        prop_assert!(longer.count >= segments.count);
    }

    #[test]
    fn a_wait_is_between_its_floor_and_its_bounds(
        tries in any::<u32>(),
        jitter in 0.0..1.0f64,
        base_ms in 1..10_000u64,
        cap_ms in 1..10_000_000u64,
        floor_s in proptest::option::of(0..200_000u64),
    ) {
        let policy = RetryPolicy {
            backoff_base: Duration::from_millis(base_ms),
            backoff_cap: Duration::from_millis(cap_ms),
            ..RetryPolicy::default()
        };
        let floor = floor_s.map(Duration::from_secs);
        let delay = policy.delay(tries, floor, jitter);
        let lowest = floor.unwrap_or_default().min(model::backoff::RETRY_AFTER_MAX);
        let highest = policy.backoff_cap.max(lowest.mul_f64(1.2));
        prop_assert!(lowest <= delay && delay <= highest, "{:?} <= {:?} <= {:?}", lowest, delay, highest);
        prop_assert!(delay <= policy.delay(tries, floor, 1.0));
    }
}
