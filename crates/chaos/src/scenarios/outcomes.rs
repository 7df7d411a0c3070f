//! What a provider answers decides: 429 waits as long as told, 5xx backs off, a permanent 4xx fails with the
//! provider's code, and a reset after the accept ends as the policy says.

use std::time::Duration;

use futures_util::future::try_join_all;
use provider_simulator::{Fault, WaitForm};
use uuid::Uuid;

use crate::client::HttpClient;
use crate::figure::Figure;
use crate::load::{Pressure, nth_sms, send, sms};
use crate::policies::{
    HOLD, RECONCILE, RETRY, configuration, is_listed_as_problem, message, recipient, wait_held, wait_message,
    wait_state,
};
use crate::simulator::Simulator;
use crate::stage::Stage;

const RETRY_AFTER_S: u64 = 2;
const MAX_ATTEMPTS: u64 = 4;
const RECONCILE_WAIT_S: u32 = 3;
/// Twilio's own test number that is no number, and what it says about it.
const INVALID: (&str, &str) = ("+15005550001", "21211");

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let many = stage.scaled(40, 20);
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&[]).await?;
    let policies = configuration(&simulator, RECONCILE_WAIT_S, "");
    let catch_all = "[[routes]]\nchannel = \"sms\"\nproviders = [\"retry\"]\n";
    installation.configure(&format!(
        "[processor]\nlease_s = 2\nbackoff_base_s = 0.4\nmax_attempts = {MAX_ATTEMPTS}\n\
         poll_interval_ms = 20\n{policies}{catch_all}"
    ))?;
    let _apiserver = installation.apiserver().await?;
    let _processor = installation.processor().await?;
    let api = installation.api();

    let mut figures = throttled(&api, &simulator, many).await?;
    figures.extend(unavailable(&api, &simulator, many).await?);
    figures.extend(rejected(&api, &simulator).await?);
    figures.extend(reset_after_accept(&api, &simulator).await?);
    Ok(figures)
}

async fn throttled(api: &HttpClient, simulator: &Simulator, many: usize) -> anyhow::Result<Vec<Figure>> {
    let mut ids = Vec::new();
    for person in 0..many {
        let form = if person % 2 == 0 { WaitForm::Seconds } else { WaitForm::HttpDate };
        let to = recipient(RETRY, person);
        let fault = Fault::Throttle { retry_after_s: RETRY_AFTER_S, form };
        simulator.fault_to(&to, fault, Some(1)).await?;
        ids.push(send(api, &sms(&to, "throttled once")).await?);
    }
    let mut shortest_ms = i64::MAX;
    let mut attempts = 0;
    for &id in &ids {
        wait_state(api, id, "ok", "delivered").await?;
        let calls = simulator.calls_about(id).await?;
        anyhow::ensure!(calls.len() == 2 && calls[0].answer == "429", "{calls:?}");
        shortest_ms = shortest_ms.min(calls[1].at_ms - calls[0].at_ms);
        attempts = attempts.max(message(api, id).await?["attempt"].as_u64().unwrap_or(0));
    }
    let told_ms = i64::try_from(RETRY_AFTER_S * 1000)?;
    Ok(vec![
        Figure::exactly("429 then delivered", ids.len(), many),
        Figure::at_least("Retry-After: 2: shortest wait, ms", shortest_ms, told_ms),
        Figure::exactly("attempts that a 429 cost", attempts - 1, 0),
    ])
}

async fn unavailable(api: &HttpClient, simulator: &Simulator, many: usize) -> anyhow::Result<Vec<Figure>> {
    let unavailable = Fault::Status { status: 503, code: None, message: None };
    // Beside others that it serves: were these alone, it would be an outage, and the breaker would hold them back.
    let served = Pressure::start(std::slice::from_ref(api), 4, Duration::from_millis(10), nth_sms);
    let mut ids = Vec::new();
    for person in 0..many {
        let to = recipient(RETRY, 1_000 + person);
        simulator.fault_to(&to, unavailable.clone(), Some(3)).await?;
        ids.push(send(api, &sms(&to, "unavailable three times")).await?);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let mut waits_ms = [0, 0, 0];
    for &id in &ids {
        wait_state(api, id, "ok", "delivered").await?;
        let calls = simulator.calls_about(id).await?;
        anyhow::ensure!(calls.len() == 4, "{calls:?}");
        for (sum, pair) in waits_ms.iter_mut().zip(calls.windows(2)) {
            *sum += pair[1].at_ms - pair[0].at_ms;
        }
    }
    let mean_ms = waits_ms.map(|sum| sum / i64::try_from(many).unwrap_or(1));

    let to = recipient(RETRY, 2_000);
    simulator.fault_to(&to, unavailable, None).await?;
    let exhausted = send(api, &sms(&to, "unavailable for ever")).await?;
    let failed = wait_state(api, exhausted, "failed", "none").await?;
    served.stop().await;
    let calls = simulator.calls_about(exhausted).await?.len();
    Ok(vec![
        Figure::told("503: mean waits", format!("{mean_ms:?} ms")),
        // Full jitter: a single wait may be anything; the mean doubles.
        Figure::ratio_at_least("503: third wait to the first", mean_ms[2] as f64 / mean_ms[0] as f64, 1.5),
        Figure::exactly("503 for ever: calls", calls as u64, MAX_ATTEMPTS),
        Figure::exactly("503 for ever: code", code(&failed), "exhausted"),
    ])
}

fn code(message: &serde_json::Value) -> &str {
    message["status_payload"]["code"].as_str().unwrap_or("none")
}

async fn rejected(api: &HttpClient, simulator: &Simulator) -> anyhow::Result<Vec<Figure>> {
    let (to, provider_code) = INVALID;
    let id = send(api, &sms(to, "to nobody")).await?;
    let failed = wait_state(api, id, "failed", "none").await?;
    let told = failed["status_payload"]["provider_code"].as_str().unwrap_or("none");
    Ok(vec![
        Figure::exactly("permanent 4xx: provider's code", told, provider_code),
        Figure::exactly("permanent 4xx: code", code(&failed), "invalid_recipient"),
        Figure::exactly("permanent 4xx: calls", simulator.calls_about(id).await?.len(), 1),
        Figure::exactly(
            "permanent 4xx: listed under problem=true",
            is_listed_as_problem(api, id).await?,
            true,
        ),
    ])
}

async fn reset_after_accept(api: &HttpClient, simulator: &Simulator) -> anyhow::Result<Vec<Figure>> {
    let person = 3_000;
    let send_broken = async |prefix: &str, person: usize, receipts: Option<Fault>| -> anyhow::Result<Uuid> {
        let to = recipient(prefix, person);
        simulator.fault_to(&to, Fault::AcceptThenReset, Some(1)).await?;
        if let Some(receipts) = receipts {
            simulator.fault_to(&to, receipts, None).await?;
        }
        send(api, &sms(&to, "accepted, then nothing")).await
    };
    let sent_times = async |id| anyhow::Ok(simulator.accepted(id).await?.len());

    // Without receipts: one would settle the message, and nothing would be left to decide.
    let retried = send_broken(RETRY, person, Some(Fault::NoReceipts)).await?;
    let held = send_broken(HOLD, person, Some(Fault::NoReceipts)).await?;
    let unreported = send_broken(RECONCILE, person, Some(Fault::NoReceipts)).await?;
    let late = Some(Fault::LateReceipts { delay_ms: 1_000 });
    let reported = send_broken(RECONCILE, person + 1, late).await?;

    wait_state(api, retried, "ok", "pending").await?;
    wait_held(api, held).await?;
    wait_message(api, reported, "it waits for its receipt", |message| message["delivery"] == "unknown")
        .await?;
    wait_state(api, reported, "ok", "delivered").await?;
    wait_held(api, unreported).await?;
    let problems = [held, unreported].map(|id| is_listed_as_problem(api, id));
    let problems = try_join_all(problems).await?.into_iter().filter(|listed| *listed).count();
    let mut figures = vec![
        Figure::exactly("reset, retry: sent", sent_times(retried).await?, 2),
        Figure::exactly("reset, hold: sent, then held", sent_times(held).await?, 1),
        Figure::exactly("reset, reconcile: sent, settled by the receipt", sent_times(reported).await?, 1),
        Figure::exactly("reset, reconcile, no receipt: sent, then held", sent_times(unreported).await?, 1),
        Figure::exactly("reset: held ones under problem=true", problems, 2),
    ];

    // A person decides: the held message goes out after all.
    api.post(&format!("/api/messages/{held}/retry"), &serde_json::json!({})).await?.expect(202)?;
    wait_state(api, held, "ok", "pending").await?;
    figures.push(Figure::exactly("reset, hold, then /retry: sent", sent_times(held).await?, 2));
    Ok(figures)
}
