//! One message in every state, and what is said of it.

mod case;

use app_db::messages::events::Event;
use app_db::messages::facts::Leased;
use model::{Channel, Delivery, ProviderHealth, Reason};
use serde_json::Value;

use self::case::*;
use super::*;

#[test]
fn what_is_due_is_about_to_be_claimed() {
    let says = ["It has been due since 2027-01-15T07:59:57Z (3 s ago); a can take it", "in a moment."];
    Case::new().is("due", &says);
    Case::new().due_in(Some(-31)).is("due", &["after those that were due before it"]);
    let with_outage = Case::new().health(&[("a", ProviderHealth::Open), ("b", ProviderHealth::Closed)]);
    with_outage.is("due", &["b can take it"]);
}

#[test]
fn what_is_due_while_its_provider_is_probed_says_so_and_since_when() {
    let probed = Case::new().health(&[("a", ProviderHealth::HalfOpen), ("b", ProviderHealth::Open)]);
    probed
        .is("probing", &["a failed before and is being probed (down since 2027-01-15T07:59:00Z (60 s ago))"]);
    let with_another = Case::new().health(&[("a", ProviderHealth::HalfOpen), ("b", ProviderHealth::Closed)]);
    with_another.is("due", &["b can take it"]);
    let mut from = Case::new().health(&[("a", ProviderHealth::Open)]);
    from.states[0].until = Some(at(-5));
    from.is("probing", &["a failed before and is being probed"]);
    let detail = from.explained()["candidates"][0]["detail"].clone();
    assert!(detail.as_str().unwrap().contains("probed since 2027-01-15T07:59:55Z"), "{detail}");
}

#[test]
fn a_provider_that_was_resumed_did_not_ask_to_wait() {
    let mut resumed = Case::new().health(&[("a", ProviderHealth::Paused), ("b", ProviderHealth::Open)]);
    resumed.states[0].reason = Some("paused_by_operator".to_owned());
    resumed.is("paused_by_operator", &["a: an operator resumed it; processors use it again within seconds"]);
}

#[test]
fn what_is_due_while_nobody_can_take_it_says_why_of_each() {
    let down = Case::new().health(&[("a", ProviderHealth::Open), ("b", ProviderHealth::Halted)]);
    down.is(
        "provider_down",
        &["a: it is left alone after 5 failures among its latest calls", "(in 20 s)", "b: it is out of"],
    );
    assert_eq!(down.candidates(), ["a breaker_open false", "b halted false"]);
    let throttled = Case::new().health(&[("a", ProviderHealth::Paused), ("b", ProviderHealth::Open)]);
    throttled.is("rate_limited", &["a: it asked to slow down, until", "b: it is left alone"]);
    let mut busy = Case::new();
    busy.states.iter_mut().for_each(|state| state.in_flight = 2);
    busy.is("rate_limited", &["all 2 of its calls are under way"]);
    let mut paused = Case::new();
    let pause = |id: &str| ProviderPause {
        provider_id: id.to_owned(),
        paused_at: at(-9),
        note: Some("invoice disputed".to_owned()),
    };
    paused.pauses = vec![pause("a"), pause("b")];
    paused.is("paused_by_operator", &["an operator paused it: invoice disputed"]);
    Case::new()
        .health(&[])
        .is("no_processor", &["no processor has said anything within the last 15 seconds"]);
    assert_eq!(Case::new().health(&[]).candidates(), ["a unknown null", "b unknown null"]);
}

#[test]
fn one_processor_that_can_send_is_enough() {
    let case = Case::new().health(&[
        ("a", ProviderHealth::Open),
        ("a", ProviderHealth::Closed),
        ("b", ProviderHealth::Open),
    ]);
    assert_eq!(case.candidates(), ["a ready true", "b breaker_open false"]);
}

#[test]
fn an_outage_that_is_over_is_probed() {
    let mut case = Case::new().health(&[("a", ProviderHealth::Open)]);
    case.states[0].until = Some(at(-1));
    assert_eq!(case.candidates()[0], "a probing true");
}

#[test]
fn the_last_to_fail_comes_last_and_the_conversations_provider_first() {
    let mut case = Case::new();
    case.work().route = "sms:+1!a".to_owned();
    assert_eq!(case.candidates(), ["b ready true", "a avoided true"]);
    assert_eq!(case.explained()["route"]["avoid"], "a");
    case.work().route = "sms:+1>b".to_owned();
    assert_eq!(case.candidates(), ["b ready true", "a ready true"]);
    assert_eq!(case.explained()["route"]["prefer"], "b");
    assert_eq!(case.explained()["route"]["name"], "sms:+1");
}

#[test]
fn every_rule_says_whether_it_matches_and_if_not_why() {
    let rules = Case::new().explained()["route"]["rules"].clone();
    let results: Vec<&str> =
        rules.as_array().unwrap().iter().map(|rule| rule["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["does_not_match", "matched", "not_asked"]);
    assert_eq!((&rules[0]["name"], &rules[0]["key"]), (&"sms:+49".into(), &"to_prefix".into()));
    assert_eq!(rules[0]["detail"], "the recipient's address does not begin with +49");

    let mut email = Case::new();
    email.facts.message.channel = Channel::Email;
    email.work().route = String::new();
    email.is("no_route", &["no rule of the configuration takes it", "a provider carries email"]);
    let explained = email.explained();
    assert_eq!(explained["route"]["name"], Value::Null);
    assert_eq!(explained["route"]["rules"][0]["detail"], "the rule is for sms, the message is email");
}

#[test]
fn a_route_that_the_configuration_lost_is_matched_again() {
    let mut case = Case::new();
    case.work().route = "gone".to_owned();
    case.is("due", &[]);
    let route = case.explained()["route"].clone();
    assert_eq!((&route["name"], &route["stored"]), (&"sms:+1".into(), &"gone".into()));
}

#[test]
fn what_waits_for_a_time_says_until_when() {
    Case::new().due_in(Some(7200)).is("scheduled", &["to be sent at 2027-01-15T10:00:00Z (in 2 h)"]);
    let retry = |reason| Case::new().because(Status::Retry, Delivery::None, Some(reason)).due_in(Some(40));
    let unavailable = retry(Reason::Unavailable);
    unavailable.is(
        "waiting_for_retry",
        &[
            "The last call of a failed: the provider answered that it cannot serve now",
            "(in 40 s)",
            "1 of at most 12",
        ],
    );
    assert_eq!(unavailable.explained()["state"]["reason"], "unavailable");
    retry(Reason::Throttled).is("rate_limited", &["a asked to slow down", "(in 40 s)"]);
    let mut reconciling = Case::new().because(Status::Retry, Delivery::Unknown, Some(Reason::OutcomeUnknown));
    reconciling.work().reconciling = true;
    reconciling.due_in(Some(40)).is("reconciling", &["Nobody knows whether a has it", "until"]);
    let mut expired = Case::new();
    expired.facts.message.expires_at = Some(at(-1));
    expired.is("expired", &["Its expires_at passed at"]);
}

#[test]
fn what_is_held_stays_until_somebody_decides() {
    let held =
        Case::new().because(Status::Retry, Delivery::Unknown, Some(Reason::OutcomeUnknown)).due_in(None);
    held.is(
        "held",
        &["It is held: nobody knows whether a has it", "a retry sends it again", "a cancel ends it"],
    );
    assert_eq!(held.explained()["next_attempt_at"], Value::Null);
}

#[test]
fn a_lease_says_who_has_it_and_a_lapsed_one_what_comes_next() {
    let mut case = Case::new();
    let lease =
        |until| Leased { processor: Uuid::from_u128(7), provider_id: "a".to_owned(), until: at(until) };
    case.work().lease = Some(lease(8));
    case.is("sending", &["A processor is sending it through a right now", "(in 8 s)"]);
    assert_eq!(case.explained()["state"]["processor"], Uuid::from_u128(7).to_string());
    case.work().lease = Some(lease(-8));
    case.is("lease_lapsed", &["has not been heard of since", "by the policy of a it is held"]);
    case.work().lease = Some(Leased { provider_id: String::new(), ..lease(8) });
    case.is("expired", &["a processor is failing it now"]);
}

#[test]
fn what_failed_says_why() {
    let mut failed = Case::new().because(Status::Failed, Delivery::None, Some(Reason::InvalidRecipient));
    let payload = failed.facts.message.status_payload.as_mut().unwrap();
    payload.provider_code = Some("21211".to_owned());
    payload.detail = Some("invalid number".to_owned());
    failed.is(
        "failed",
        &[
            "at the first attempt, through a",
            "the recipient's address is wrong",
            "(provider code 21211: invalid number)",
        ],
    );
    Case::new().because(Status::Failed, Delivery::None, Some(Reason::Canceled)).is("canceled", &["canceled"]);
}

#[test]
fn what_was_accepted_says_what_its_provider_reported() {
    let ok = |delivery, reason| Case::new().because(Status::Ok, delivery, reason);
    let pending = ok(Delivery::Pending, None);
    pending
        .is("waiting_for_receipt", &["a accepted it at", "has not come yet", "until 2027-01-15T08:59:57Z"]);
    ok(Delivery::Unknown, Some(Reason::ReceiptTimeout))
        .is("receipt_timeout", &["within 60 min", "still applies"]);
    ok(Delivery::Sent, None).is("sent", &["handed it to the carrier"]);
    ok(Delivery::Delivered, None).is("delivered", &["It was delivered, as a reported"]);
    ok(Delivery::Read, None).is("read", &["delivered and read"]);
    let mut undelivered = ok(Delivery::Undelivered, Some(Reason::Undelivered));
    undelivered.facts.message.status_payload.as_mut().unwrap().temporary = Some(true);
    undelivered.is("undelivered", &["was not delivered", "Another try might be delivered."]);
    let mut inbound = ok(Delivery::Received, None);
    inbound.facts.message.direction = Direction::Inbound;
    inbound.is("received", &["received through a", "nothing to send"]);
    assert_eq!(inbound.explained()["route"], Value::Null);
}

#[test]
fn attempts_and_receipts_are_read_from_events() {
    let mut case = Case::new();
    case.facts.events = vec![
        event("retrying", 0, Some("throttled")),
        event("retrying", 1, Some("unavailable")),
        event("outcome_unknown", 2, Some("timeout")),
        event("held", 2, Some("outcome_unknown")),
        event("requeued", 2, Some("retry_requested")),
        event("sent", 3, None),
        event("outcome_unknown", 3, Some("receipt_timeout")),
        event("receipt", 3, None),
        event("failed", 4, Some("exhausted")),
        Event { detail: None, ..event("failed", 4, Some("expired")) },
    ];
    let explained = case.explained();
    let text = |attempt: &Value| {
        format!("{} {} {}", attempt["number"], attempt["outcome"].as_str().unwrap(), attempt["is_counted"])
    };
    let attempts: Vec<String> = explained["attempts"].as_array().unwrap().iter().map(text).collect();
    let expected =
        ["1 throttled false", "1 unavailable true", "2 unknown true", "3 accepted true", "4 gave_up true"];
    assert_eq!(attempts, expected);
    assert_eq!(explained["attempts"][1]["provider_code"], "30001");
    assert_eq!(
        explained["attempts"][1]["detail"],
        "The provider answered that it cannot serve now: HTTP 503"
    );
    assert_eq!(explained["receipts"].as_array().unwrap().len(), 1);
}
