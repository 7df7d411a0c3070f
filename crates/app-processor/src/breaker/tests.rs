//! The breaker alone, by a clock of its own.

use model::Reason;

use super::*;

fn unavailable() -> Outcome {
    Outcome::Unavailable { retry_after: None, provider_code: None, detail: String::new() }
}

fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: None }
}

fn rejected() -> Outcome {
    Outcome::Rejected { reason: Reason::InvalidRecipient, provider_code: None, detail: String::new() }
}

/// Of a call that begins and ends then.
fn learn(breaker: &mut Breaker, outcome: &Outcome, now: Instant) {
    let opening = breaker.opening();
    breaker.learn(outcome, call(opening, "+12025550199"), now);
}

fn call(opening: u64, recipient: &str) -> EndedCall {
    EndedCall { opening, recipient: Recipient::of(recipient), under_way: 1 }
}

fn forbidden() -> Outcome {
    Outcome::Forbidden { provider_code: None, detail: String::new() }
}

/// Of a call to the recipient of that number.
fn learn_of(breaker: &mut Breaker, outcome: &Outcome, number: u32, now: Instant) {
    let opening = breaker.opening();
    breaker.learn(outcome, call(opening, &number.to_string()), now);
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Open by failures at `now`.
fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..CALLS_MIN {
        learn(&mut breaker, &unavailable(), now);
    }
    assert!(breaker.is_open(now));
    breaker
}

fn probe(breaker: &mut Breaker, outcomes: &[Outcome], now: Instant) {
    assert_eq!(breaker.take(100, now), Allowance::Calls(PROBES));
    for outcome in outcomes {
        learn(breaker, outcome, now);
    }
}

#[test]
fn a_recipient_that_always_fails_does_not_open_it() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    for _ in 0..100 {
        for outcome in [unavailable(), accepted(), rejected()] {
            learn(&mut breaker, &outcome, now);
        }
    }
    assert_eq!(breaker.take(64, now), Allowance::Calls(64));
}

#[test]
fn failures_open_it_once_however_many_calls_were_under_way() {
    let now = Instant::now();
    let mut breaker = opened(now);
    for _ in 0..200 {
        learn(&mut breaker, &unavailable(), now);
    }
    assert_eq!(breaker.take(64, now), Allowance::Nothing);
    assert!(!breaker.is_open(now + seconds(1.0)));
    assert_eq!(breaker.take(64, now + seconds(1.0)), Allowance::Calls(PROBES), "whatever is still under way");
}

#[test]
fn the_majority_of_probes_decides_and_pauses_grow_up_to_a_bound() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let mut now = start + seconds(1.0);
    probe(&mut breaker, &[unavailable(), accepted(), unavailable()], now);
    assert!(breaker.is_open(now + seconds(1.9)) && !breaker.is_open(now + seconds(2.0)));
    let mut probes = PROBES;
    while now < start + seconds(60.0) {
        now += seconds(0.1);
        if !breaker.is_open(now) {
            probe(&mut breaker, &[unavailable(), unavailable()], now);
            probes += PROBES;
        }
    }
    assert!(probes <= 24, "{probes} probes in a minute's outage");
    now += FAILING_PAUSE.1;
    probe(&mut breaker, &[unavailable(), accepted(), accepted()], now);
    assert!(!breaker.is_open(now));
}

#[test]
fn traffic_comes_back_slowly_after_an_outage_and_at_once_after_a_hiccup() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let soon = now + seconds(1.5);
    probe(&mut breaker, &[accepted(), accepted()], soon);
    assert_eq!(breaker.take(64, soon), Allowance::Calls(64));

    let mut breaker = opened(now);
    let late = now + seconds(10.0);
    probe(&mut breaker, &[accepted(), accepted()], late);
    let mut begun = Vec::new();
    for second in 0..6 {
        let mut calls = 0;
        for step in 1..=100 {
            let at = late + seconds(f64::from(second) + f64::from(step) / 100.0);
            if let Allowance::Calls(more) = breaker.take(64, at) {
                learn(&mut breaker, &accepted(), at);
                calls += more;
            }
        }
        begun.push(calls);
    }
    assert!((15..=35).contains(&begun[0]), "{begun:?}");
    for pair in begun.windows(2) {
        assert!(pair[1] > pair[0] && pair[1] <= 3 * pair[0], "no spike: {begun:?}");
    }
    let after = late + seconds(SLOW_SECONDS);
    assert_eq!(breaker.take(500, after), Allowance::Calls(500));
    assert_eq!(breaker.report(after).0, ProviderHealth::Closed);
}

#[test]
fn what_was_not_begun_is_given_back() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let late = now + seconds(10.0);
    probe(&mut breaker, &[accepted(), accepted()], late);
    let at = late + seconds(1.0);
    let Allowance::Calls(all) = breaker.take(1_000, at) else { panic!("nothing") };
    assert_eq!(breaker.take(1_000, at), Allowance::Nothing);
    breaker.give_back(all);
    assert_eq!(breaker.take(1_000, at), Allowance::Calls(all));
}

#[test]
fn a_blocked_account_pauses_at_once_and_longer() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    learn(&mut breaker, &Outcome::Halted { provider_code: None, detail: String::new() }, now);
    let (health, reason, left) = breaker.report(now);
    assert_eq!((health, reason, left), (ProviderHealth::Halted, Some("halted"), Some(HALT_PAUSE.0)));
}

#[test]
fn throttling_pauses_shortly_and_needs_no_probes() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    let throttled = Outcome::Throttled { retry_after: Some(seconds(2.0)), provider_code: None };
    for _ in 0..THROTTLED_IN_A_ROW {
        assert!(!breaker.is_open(now));
        learn(&mut breaker, &throttled, now);
    }
    assert!(breaker.is_open(now + seconds(1.9)));
    assert_eq!(breaker.take(64, now + seconds(2.0)), Allowance::Calls(64));
}

#[test]
fn calls_that_began_before_it_opened_say_nothing_about_a_probe() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    let before = breaker.opening();
    for _ in 0..CALLS_MIN {
        breaker.learn(&unavailable(), call(before, "+12025550199"), now);
    }
    let later = now + seconds(1.0);
    assert_eq!(breaker.take(64, later), Allowance::Calls(PROBES));
    for _ in 0..50 {
        breaker.learn(&unavailable(), call(before, "+12025550199"), later);
    }
    assert!(!breaker.is_open(later));
    assert_eq!(breaker.take(64, later), Allowance::Nothing, "the probes are still out");
    for _ in 0..PROBES_DECIDE {
        learn(&mut breaker, &accepted(), later);
    }
    assert_eq!(breaker.take(64, later), Allowance::Calls(64));
}

#[test]
fn a_recipient_that_is_forbidden_halts_nothing_and_costs_the_others_nothing() {
    let (mut breaker, start) = (Breaker::new(), Instant::now());
    for second in 0..600 {
        let now = start + seconds(f64::from(second));
        learn_of(&mut breaker, &forbidden(), 1, now);
        assert!(!breaker.blames_account(Recipient::of("1")));
        assert_eq!(breaker.take(64, now), Allowance::Calls(64), "after {second} s");
        learn_of(&mut breaker, &accepted(), 2 + second, now);
    }
}

#[test]
fn one_recipient_in_ten_that_is_forbidden_halts_nothing() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..10_000 {
        let outcome = if random.u32(..10) == 0 { forbidden() } else { accepted() };
        learn_of(&mut breaker, &outcome, number, now);
        assert!(!breaker.is_open(now), "after {number} calls");
    }
}

#[test]
fn an_account_that_is_forbidden_everything_is_halted_and_probed() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    for number in 0..8 {
        assert!(!breaker.is_open(now));
        learn_of(&mut breaker, &forbidden(), number, now);
    }
    assert_eq!(breaker.report(now), (ProviderHealth::Halted, Some("halted"), Some(HALT_PAUSE.0)));
    assert!(breaker.blames_account(Recipient::of("7")), "the message waits at no cost");

    let later = now + HALT_PAUSE.0;
    probe(&mut breaker, &[forbidden(), forbidden()], later);
    assert_eq!(breaker.report(later).0, ProviderHealth::Halted);
    let last = later + 2 * HALT_PAUSE.0;
    probe(&mut breaker, &[forbidden(), accepted(), accepted()], last);
    assert!(!breaker.is_open(last));
    assert!(!breaker.blames_account(Recipient::of("7")));
}

#[test]
fn what_the_provider_was_not_asked_frees_its_probe_and_closes_nothing() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + seconds(1.0);
    assert_eq!(breaker.take(100, later), Allowance::Calls(PROBES));
    let opening = breaker.opening();
    for _ in 0..PROBES {
        breaker.forgo(opening);
    }
    assert_eq!(breaker.report(later).0, ProviderHealth::HalfOpen, "nothing was learned");
    assert_eq!(breaker.take(100, later), Allowance::Calls(PROBES), "at once, not after a minute");
    breaker.forgo(opening - 1);
    assert_eq!(breaker.take(100, later), Allowance::Nothing, "a call from before has no probe to give back");
}
