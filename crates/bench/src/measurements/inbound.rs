//! Inbound messages as Twilio delivers them, each signed and each a message of its own.

use crate::bench::Bench;
use crate::connection::{Loop, Make};
use crate::people::{self, BODY, KNOWN, SENDER};
use crate::rig::{PROVIDER, Rig};

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let rig = Rig::new(bench).await?;
    let _apiserver = rig.installation.apiserver().await?;
    let make = webhooks(&rig);
    let answered = Loop::new(rig.api, bench.plan.time, make, 200).run().await?;
    let stored = usize::try_from(rig.installation.count("select count(*) from messages").await?)?;
    anyhow::ensure!(stored == answered.count, "{stored} messages stored, {} answered", answered.count);
    bench.samples.add("inbound/s", answered.per_second());
    bench.samples.add("inbound p50 ms", answered.latencies.percentile_ms(0.5));
    bench.samples.add("inbound p99 ms", answered.latencies.percentile_ms(0.99));
    Ok(())
}

/// Messages of the mix of people, the `n`th in the form of Twilio's.
pub(super) fn webhooks(rig: &Rig) -> Make {
    rig.webhooks(|n| {
        let sid = format!("SM{n:032x}");
        let form = [
            ("ToCountry", "US"),
            ("SmsMessageSid", &sid),
            ("NumMedia", "0"),
            ("SmsSid", &sid),
            ("SmsStatus", "received"),
            ("Body", BODY),
            ("To", SENDER),
            ("NumSegments", "1"),
            ("MessageSid", &sid),
            ("AccountSid", provider_simulator::DEMO_TWILIO_ACCOUNT_SID),
            ("From", &people::nth(n, KNOWN)),
            ("ApiVersion", "2010-04-01"),
        ];
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        (format!("/api/webhooks/{PROVIDER}"), form)
    })
}
