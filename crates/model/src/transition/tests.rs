use super::*;

const WAIT: Duration = Duration::from_secs(300);

fn rules(policy: &RetryPolicy, on_unknown: OnUnknown, elsewhere: Elsewhere) -> Rules<'_> {
    Rules { policy, on_unknown, reconcile_wait: WAIT, elsewhere, confirm_within: None }
}

fn tried(attempt: u32) -> Tried {
    Tried { attempt, age: Duration::from_secs(1), claims: attempt + 1, jitter: 0.5, earlier: Earlier::None }
}

fn step(outcome: &Outcome, tried: Tried) -> Transition {
    after_outcome(outcome, tried, &rules(&RetryPolicy::default(), OnUnknown::Hold, Elsewhere::Nowhere))
}

fn unavailable() -> Outcome {
    Outcome::Unavailable { retry_after: None, provider_code: None, detail: "503".to_owned() }
}

#[test]
fn accepted_settles_as_ok_and_pending() {
    let step = step(&Outcome::Accepted { provider_message_id: Some("SM1".to_owned()) }, tried(0));
    assert_eq!((step.status, step.delivery, step.next), (Status::Ok, Delivery::Pending, Next::Gone));
    assert_eq!((step.attempt, step.provider_message_id.as_deref()), (1, Some("SM1")));
}

#[test]
fn an_answered_5xx_costs_an_attempt_and_the_last_one_fails() {
    let policy = RetryPolicy::default();
    let again = step(&unavailable(), tried(policy.max_attempts - 2));
    assert_eq!((again.status, again.attempt), (Status::Retry, policy.max_attempts - 1));
    let last = step(&unavailable(), tried(policy.max_attempts - 1));
    assert_eq!((last.status, last.next), (Status::Failed, Next::Gone));
    assert_eq!(last.payload.unwrap().code, "exhausted");
}

#[test]
fn waiting_costs_no_attempt_and_keeps_to_the_floor() {
    let floor = Duration::from_secs(40);
    let throttled = Outcome::Throttled { retry_after: Some(floor), provider_code: None };
    let step = step(&throttled, tried(3));
    assert_eq!((step.status, step.attempt), (Status::Retry, 3));
    assert!(matches!(step.next, Next::After(wait) if wait >= floor));
}

#[test]
fn a_message_past_its_age_fails_as_expired_instead_of_waiting() {
    let old = Tried { age: Duration::from_secs(300_000), ..tried(1) };
    let step = step(&Outcome::Unreachable { detail: "refused".to_owned() }, old);
    assert_eq!(step.status, Status::Failed);
    assert_eq!(step.payload.unwrap().code, "expired");
}

#[test]
fn an_unknown_outcome_follows_the_policy() {
    let step = |on_unknown| {
        let policy = RetryPolicy::default();
        after_unknown(Reason::LeaseLapsed, None, tried(0), &rules(&policy, on_unknown, Elsewhere::Nowhere))
    };
    let retry = step(OnUnknown::Retry);
    assert!(matches!(retry.next, Next::After(_)));
    assert_eq!((retry.delivery, retry.attempt), (Delivery::None, 1));
    let hold = step(OnUnknown::Hold);
    assert_eq!((hold.next, hold.delivery, hold.status), (Next::Never, Delivery::Unknown, Status::Retry));
    assert_eq!(hold.payload.unwrap().code, "outcome_unknown");
    let reconcile = step(OnUnknown::Reconcile);
    assert_eq!((reconcile.next, reconcile.delivery), (Next::After(WAIT), Delivery::Unknown));
    assert!([retry.event, hold.event, reconcile.event].iter().all(|&e| e == EventKind::OutcomeUnknown));
}

fn with_another(outcome: &Outcome, elsewhere: Elsewhere) -> Transition {
    let policy = RetryPolicy::default();
    after_outcome(outcome, Tried { jitter: 0.9, ..tried(1) }, &rules(&policy, OnUnknown::Retry, elsewhere))
}

#[test]
fn another_provider_takes_over_at_once_and_after_that_all_wait() {
    let floor = Some(Duration::from_secs(600));
    let throttled = Outcome::Throttled { retry_after: floor, provider_code: None };
    let unreachable = Outcome::Unreachable { detail: String::new() };
    for outcome in [unavailable(), throttled, unreachable] {
        assert_eq!(with_another(&outcome, Elsewhere::Now).next, Next::After(Duration::ZERO), "{outcome:?}");
        let Next::After(wait) = with_another(&outcome, Elsewhere::Later).next else { panic!("{outcome:?}") };
        assert!(wait > Duration::ZERO && wait < Duration::from_secs(600), "{outcome:?}: {wait:?}");
    }
    let policy = RetryPolicy::default();
    let last = Tried { attempt: policy.max_attempts - 1, ..tried(0) };
    let spent = after_outcome(&unavailable(), last, &rules(&policy, OnUnknown::Retry, Elsewhere::Now));
    assert_eq!(spent.status, Status::Failed, "attempts are bounded whoever is asked");
}

#[test]
fn a_refusal_about_our_account_is_not_the_last_word_where_another_provider_is() {
    let refused = |reason| Outcome::Rejected { reason, provider_code: None, detail: String::new() };
    let status = |reason, elsewhere| with_another(&refused(reason), elsewhere).status;
    assert_eq!(status(Reason::Configuration, Elsewhere::Now), Status::Retry);
    assert_eq!(status(Reason::Configuration, Elsewhere::Later), Status::Failed);
    assert_eq!(status(Reason::Configuration, Elsewhere::Nowhere), Status::Failed);
    assert_eq!(status(Reason::InvalidRecipient, Elsewhere::Now), Status::Failed);
}

#[test]
fn an_accepted_message_that_must_be_confirmed_waits_for_that_while_another_provider_is_left() {
    let policy = RetryPolicy::default();
    let accepted = Outcome::Accepted { provider_message_id: Some("SM1".to_owned()) };
    let step = |elsewhere| {
        let rules = Rules { confirm_within: Some(WAIT), ..rules(&policy, OnUnknown::Hold, elsewhere) };
        after_outcome(&accepted, tried(0), &rules)
    };
    let waits = step(Elsewhere::Now);
    assert_eq!(
        (waits.status, waits.delivery, waits.next),
        (Status::Retry, Delivery::Pending, Next::After(WAIT))
    );
    assert_eq!((waits.event, waits.payload.unwrap().code.as_str()), (EventKind::Sent, "awaiting_delivery"));
    assert_eq!(step(Elsewhere::Nowhere).next, Next::Gone);
}

#[test]
fn what_a_second_provider_says_takes_nothing_back() {
    let policy = RetryPolicy::default();
    let after = |outcome: &Outcome, earlier, on_unknown| {
        let second = Tried { earlier, ..tried(1) };
        let step = after_outcome(outcome, second, &rules(&policy, on_unknown, Elsewhere::Nowhere));
        (step.status, step.delivery, step.next == Next::Gone, step.event)
    };
    let refused =
        Outcome::Rejected { reason: Reason::InvalidRecipient, provider_code: None, detail: String::new() };
    let uncertain = Outcome::Uncertain { reason: Reason::Timeout, detail: String::new() };
    for (earlier, delivery) in
        [(Earlier::Accepted, Delivery::Pending), (Earlier::Refused, Delivery::Undelivered)]
    {
        let ended = (Status::Ok, delivery, true, EventKind::Retrying);
        assert_eq!(after(&refused, earlier, OnUnknown::Hold), ended);
        let unknown = (Status::Ok, delivery, true, EventKind::OutcomeUnknown);
        assert_eq!(after(&uncertain, earlier, OnUnknown::Hold), unknown, "it is not held");
        assert_eq!(after(&uncertain, earlier, OnUnknown::Reconcile), unknown);
        let waits = (Status::Retry, Delivery::Pending, false, EventKind::Retrying);
        assert_eq!(after(&unavailable(), earlier, OnUnknown::Hold), waits);
    }
}

#[test]
fn a_lease_that_lapses_beside_an_accepted_attempt_takes_nothing_back() {
    let policy = RetryPolicy::default();
    let spent = Tried { earlier: Earlier::Accepted, ..tried(policy.max_attempts) };
    let rules = rules(&policy, OnUnknown::Retry, Elsewhere::Nowhere);
    let step = after_unknown(Reason::LeaseLapsed, None, spent, &rules);
    let ended = (Status::Ok, Delivery::Pending, EventKind::OutcomeUnknown);
    assert_eq!((step.status, step.delivery, step.event), ended);
}

#[test]
fn a_forbidden_message_costs_an_attempt_and_fails_by_its_count() {
    let policy = RetryPolicy::default();
    let forbidden =
        Outcome::Forbidden { provider_code: Some("403".to_owned()), detail: "HTTP 403".to_owned() };
    let first = step(&forbidden, tried(0));
    assert_eq!((first.status, first.attempt, first.event), (Status::Retry, 1, EventKind::Retrying));
    assert_eq!(first.payload.unwrap().code, "forbidden");
    let last = step(&forbidden, Tried { attempt: policy.max_attempts - 1, ..tried(0) });
    let payload = last.payload.unwrap();
    assert_eq!((last.status, payload.code.as_str()), (Status::Failed, "exhausted"));
    assert_eq!(payload.provider_code.as_deref(), Some("403"));
    assert_eq!(with_another(&forbidden, Elsewhere::Now).next, Next::After(Duration::ZERO));
}
