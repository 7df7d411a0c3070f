//! The processor is killed between the provider's accept and the settle. What becomes of the message then is the
//! provider's policy: retry resends, hold stops and shows it, reconcile is settled by the receipt.

use provider_simulator::Fault;

use crate::figure::Figure;
use crate::load::{send, sms};
use crate::policies::{
    HOLD, LIMIT, RECONCILE, RETRY, configuration, is_listed_as_problem, recipient, wait_held, wait_message,
    wait_state,
};
use crate::stage::Stage;

/// Longer than anything waits here: the answer never comes.
const HANG_S: f64 = 300.0;
/// After the lease has lapsed and was found lapsed.
const LATE_MS: u64 = 6_000;
const RECONCILE_WAIT_S: u32 = 8;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let installation = stage.installation().await?;
    let simulator = installation.simulator(&[]).await?;
    let policies = configuration(&simulator, RECONCILE_WAIT_S, "timeout_s = 600");
    installation.configure(&format!("[processor]\nlease_s = 2\nbackoff_base_s = 0.1\n{policies}"))?;
    let _apiserver = installation.apiserver().await?;
    let mut processor = installation.processor().await?;
    let api = installation.api();

    // Without receipts, but for one: a receipt would settle the message before anybody has to decide.
    let mut messages = Vec::new();
    for (prefix, person, receipts) in [
        (RETRY, 0, Fault::NoReceipts),
        (HOLD, 0, Fault::NoReceipts),
        (RECONCILE, 0, Fault::LateReceipts { delay_ms: LATE_MS }),
        (RECONCILE, 1, Fault::NoReceipts),
    ] {
        let to = recipient(prefix, person);
        simulator.fault_to(&to, Fault::Hang { for_s: HANG_S, accept_first: true }, Some(1)).await?;
        simulator.fault_to(&to, receipts, None).await?;
        messages.push(send(&api, &sms(&to, "accepted, then killed")).await?);
    }
    let [retried, held, reported, unreported] = messages[..] else { anyhow::bail!("four messages") };
    simulator.wait_count(4, LIMIT).await?;
    processor.kill().await?;
    processor.start_again().await?;

    wait_state(&api, retried, "ok", "pending").await?;
    wait_held(&api, held).await?;
    wait_message(&api, reported, "it waits for its receipt", |message| message["delivery"] == "unknown")
        .await?;
    wait_state(&api, reported, "ok", "delivered").await?;
    wait_held(&api, unreported).await?;
    let sent_times = async |id| anyhow::Ok(simulator.accepted(id).await?.len());
    let mut figures = vec![
        Figure::exactly("retry: sent", sent_times(retried).await?, 2),
        Figure::exactly("hold: sent, then held", sent_times(held).await?, 1),
        Figure::exactly("hold: listed under problem=true", is_listed_as_problem(&api, held).await?, true),
        Figure::exactly("reconcile: sent, settled by the receipt", sent_times(reported).await?, 1),
        Figure::exactly("reconcile, no receipt: sent, then held", sent_times(unreported).await?, 1),
        Figure::exactly(
            "reconcile, no receipt: listed under problem=true",
            is_listed_as_problem(&api, unreported).await?,
            true,
        ),
    ];
    let unknown = installation.unknown_outcomes().await?;
    let counted_once = messages.iter().filter(|id| unknown.get(id) == Some(&1)).count();
    figures.push(Figure::exactly("unknown outcomes, one for each", counted_once, 4));
    Ok(figures)
}
