use super::*;

fn settles(message: MessageSnapshot, receipt: ReceiptInfo) -> bool {
    after_receipt(message, receipt) == ReceiptStep::Settles
}

#[test]
fn a_receipt_never_makes_delivery_regress() {
    for &before in Delivery::ALL {
        for &reported in Delivery::ALL {
            let message = MessageSnapshot {
                status: Status::Ok,
                delivery: before,
                attempt: 1,
                unanswered: false,
                confirming: false,
            };
            if settles(message, ReceiptInfo { delivery: reported, attempt: 1, about_an_acceptance: false }) {
                assert!(reported.rank() > before.rank(), "{before} -> {reported}");
            }
        }
    }
}

#[test]
fn a_receipt_settles_what_waits_for_an_answer() {
    let waiting = MessageSnapshot {
        status: Status::Retry,
        delivery: Delivery::Unknown,
        attempt: 2,
        unanswered: true,
        confirming: false,
    };
    let applies =
        |delivery, attempt| settles(waiting, ReceiptInfo { delivery, attempt, about_an_acceptance: false });
    assert!(applies(Delivery::Sent, 2));
    assert!(applies(Delivery::Delivered, 1), "the first attempt did get there");
    assert!(applies(Delivery::Undelivered, 2));
    assert!(!applies(Delivery::Undelivered, 1), "the second attempt is still open");
    let again = MessageSnapshot { unanswered: false, ..waiting };
    assert!(!settles(
        again,
        ReceiptInfo { delivery: Delivery::Undelivered, attempt: 2, about_an_acceptance: false }
    ));
}

#[test]
fn a_refusal_of_an_earlier_attempt_says_nothing_of_the_last() {
    let sent_twice = MessageSnapshot {
        status: Status::Ok,
        delivery: Delivery::Sent,
        attempt: 2,
        unanswered: false,
        confirming: false,
    };
    let applies = |attempt| {
        settles(
            sent_twice,
            ReceiptInfo { delivery: Delivery::Undelivered, attempt, about_an_acceptance: false },
        )
    };
    assert!(applies(2));
    assert!(!applies(1));
}

#[test]
fn a_failed_message_is_corrected_only_by_a_delivery() {
    let failed = MessageSnapshot {
        status: Status::Failed,
        delivery: Delivery::None,
        attempt: 1,
        unanswered: false,
        confirming: false,
    };
    let applies =
        |delivery| settles(failed, ReceiptInfo { delivery, attempt: 1, about_an_acceptance: false });
    assert!(applies(Delivery::Delivered));
    assert!(!applies(Delivery::Sent) && !applies(Delivery::Undelivered));
}

#[test]
fn only_delivery_confirms() {
    let waits = MessageSnapshot {
        status: Status::Retry,
        delivery: Delivery::Pending,
        attempt: 1,
        unanswered: false,
        confirming: true,
    };
    let after = |message, delivery, about_an_acceptance| {
        after_receipt(message, ReceiptInfo { delivery, attempt: 1, about_an_acceptance })
    };
    assert_eq!(after(waits, Delivery::Sent, true), ReceiptStep::Notes);
    let sent = MessageSnapshot { delivery: Delivery::Sent, ..waits };
    assert_eq!(after(sent, Delivery::Sent, true), ReceiptStep::Nothing);
    assert_eq!(after(waits, Delivery::Delivered, true), ReceiptStep::Settles);
    assert_eq!(after(waits, Delivery::Undelivered, true), ReceiptStep::HandsOver);
    assert_eq!(
        after(waits, Delivery::Undelivered, false),
        ReceiptStep::Nothing,
        "a second time, or of no acceptance"
    );
    let second = MessageSnapshot { attempt: 2, unanswered: true, ..waits };
    assert_eq!(
        after(second, Delivery::Undelivered, true),
        ReceiptStep::HandsOver,
        "during the second's call"
    );
    assert_eq!(after(second, Delivery::Delivered, true), ReceiptStep::Settles, "of the first attempt, late");
    let ended = MessageSnapshot { status: Status::Ok, confirming: false, attempt: 2, ..waits };
    assert_eq!(after(ended, Delivery::Undelivered, true), ReceiptStep::Settles);
    assert_eq!(after(ended, Delivery::Undelivered, false), ReceiptStep::Nothing);
}

fn call(provider_id: &str, attempt: u32) -> CallRecord<'_> {
    CallRecord { provider_id, attempt }
}

#[test]
fn a_receipt_is_about_a_call_of_its_own_provider_on_an_attempt_that_exists() {
    let calls = || [call("a", 1), call("b", 2), call("a", 3)].into_iter();
    for (provider_id, attempt, expected) in [
        ("a", Some(1), Ok(1)),
        ("a", Some(3), Ok(3)),
        ("a", None, Ok(3)),
        ("b", None, Ok(2)),
        ("b", Some(1), Err(NoCall::WrongAttempt)),
        ("a", Some(4), Err(NoCall::WrongAttempt)),
        ("c", Some(1), Err(NoCall::NotAsked)),
        ("c", None, Err(NoCall::NotAsked)),
    ] {
        assert_eq!(find_call(provider_id, attempt, calls()), expected, "{provider_id} {attempt:?}");
    }
    assert_eq!(find_call("a", None, [].into_iter()), Err(NoCall::NotAsked));
}

#[test]
fn a_lease_and_a_first_attempt_that_is_ok_are_certain_without_events() {
    let waiting =
        LatestCall { leased: Some(call("b", 3)), status: Status::Retry, provider_id: Some("a"), attempt: 2 };
    assert_eq!(waiting.answers("b", Some(3)), Some(3));
    assert_eq!(waiting.answers("b", None), Some(3));
    for (provider_id, attempt) in [("b", Some(2)), ("a", Some(2)), ("a", None)] {
        assert_eq!(waiting.answers(provider_id, attempt), None, "{provider_id} {attempt:?}");
    }
    let first = LatestCall { leased: None, status: Status::Ok, provider_id: Some("a"), attempt: 1 };
    assert_eq!((first.answers("a", Some(1)), first.answers("a", None)), (Some(1), Some(1)));
    assert_eq!((first.answers("a", Some(2)), first.answers("b", Some(1))), (None, None));
    for other in [
        LatestCall { attempt: 2, ..first },
        LatestCall { status: Status::Failed, ..first },
        LatestCall { provider_id: None, ..first },
    ] {
        assert_eq!(other.answers("a", Some(1)), None, "{other:?}");
    }
}

#[test]
fn events_record_the_calls_that_were_made_and_no_others() {
    let number = |kind, code, detail| call_of_event(kind, code, detail, "a", 2).map(|call| call.attempt);
    for (kind, code, detail, expected) in [
        ("sent", None, None, Some(2)),
        ("sent", Some("awaiting_delivery"), None, Some(2)),
        ("outcome_unknown", Some("lease_lapsed"), None, Some(2)),
        ("outcome_unknown", Some("receipt_timeout"), None, None),
        ("retrying", Some("unavailable"), None, Some(2)),
        ("retrying", Some("throttled"), None, Some(3)),
        ("retrying", Some("halted"), None, Some(3)),
        ("retrying", Some("unreachable"), None, None),
        ("failed", Some("invalid_recipient"), None, Some(2)),
        ("failed", Some("exhausted"), Some("12 attempts, the last: unavailable"), Some(2)),
        ("failed", Some("expired"), None, None),
        ("failed", Some("expired"), Some("the last: unavailable"), Some(2)),
        ("failed", Some("expired"), Some("the last: throttled"), Some(3)),
        ("failed", Some("expired"), Some("the last: unreachable"), None),
        ("canceled", Some("canceled"), None, None),
        ("held", Some("outcome_unknown"), None, None),
        ("requeued", Some("retry_requested"), None, None),
        ("receipt", None, None, Some(2)),
    ] {
        assert_eq!(number(kind, code, detail), expected, "{kind} {code:?} {detail:?}");
    }
}
