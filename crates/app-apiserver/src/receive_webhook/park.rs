//! Parks receipts that match no message yet. The processor matches them later; those that can match none are not parked.

use app_db::parked;
use app_db::receipts::{Applied, NewReceipt};
use model::Bucket;
use service::metrics::ProviderResult;
use tokio::time::Instant;
use uuid::Uuid;

use crate::App;
use crate::body::Share;
use crate::patience::Met;
use crate::problem::Problem;

/// Parks them, all in one statement. A message may have been settled since it was looked for, and its settle may have
/// looked for parked receipts before: so they are tried once more.
pub(super) async fn park(app: &App, receipts: Vec<NewReceipt>) -> Result<(), Problem> {
    if receipts.is_empty() {
        return Ok(());
    }
    let parked: Vec<(Uuid, NewReceipt)> = receipts
        .into_iter()
        .map(|receipt| (app.ids.next(app.database_clock.now(), Bucket(0)), receipt))
        .collect();
    write(app, &parked).await?;
    let mut tickets = Vec::with_capacity(parked.len());
    for (id, receipt) in &parked {
        count(app, receipt, "parked");
        tickets.push((*id, app.receipts.enter(receipt.clone(), Share::default())?));
    }
    let mut matched = Vec::new();
    for (id, ticket) in tickets {
        if ticket.committed().await? != Applied::Unmatched {
            matched.push(id);
        }
    }
    if !matched.is_empty() {
        parked::forget(&*app.database().await?, &matched).await?;
    }
    Ok(())
}

/// Also where the database comes back only in a moment.
async fn write(app: &App, receipts: &[(Uuid, NewReceipt)]) -> Result<(), Problem> {
    let began = Instant::now();
    loop {
        let written = async {
            let database = app.database().await?;
            Ok::<_, Problem>(parked::park(&database, receipts).await?)
        };
        let written = written.await;
        let met = match &written {
            Err(problem) if problem.is_of_no_database() => Met::NoDatabase,
            Err(problem) if problem.is_overload() => Met::NoTurn,
            Ok(()) | Err(_) => Met::Answer,
        };
        if !app.patience.waits_to_repeat(began, met).await {
            return written;
        }
    }
}

/// Counts a receipt that was not applied, by why.
pub(super) fn count(app: &App, receipt: &NewReceipt, result: &str) {
    let labels = ProviderResult::new(&receipt.provider_id, result);
    app.metrics.receipts_not_applied.get_or_create(&labels).inc();
}
