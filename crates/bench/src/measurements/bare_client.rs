//! The bare client loop to the sink, with requests as large as those of the Twilio adapter: what sending could be.

use std::sync::Arc;

use http::Method;

use crate::bench::Bench;
use crate::connection::{Loop, request};
use crate::people::{self, KNOWN, SENDER};
use crate::sink::Sink;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    let make = Arc::new(|n| {
        let form = [
            ("To", people::nth(n, KNOWN).as_str()),
            ("From", SENDER),
            ("Body", "Your parcel will be with you today. This is number 123456"),
            (
                "StatusCallback",
                "http://127.0.0.1:9000/api/webhooks/twilio-main?message_id=019abcde-0000-7000-8000-000000000000&attempt=1",
            ),
        ]
        .into_iter()
        .fold(url::form_urlencoded::Serializer::new(String::new()), |mut form, (name, value)| {
            form.append_pair(name, value);
            form
        })
        .finish();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            (
                "authorization",
                "Basic QUM1YWRlMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDE6c2ltdWxhdG9yLWF1dGgtdG9rZW4=",
            ),
        ];
        request(
            Method::POST,
            "/2010-04-01/Accounts/AC5ade0000000000000000000000000001/Messages.json",
            &headers,
            form,
        )
    });
    let answered = Loop::new(sink.address, bench.plan.time, make, 201).run().await?;
    bench.samples.add("bare client/s", answered.per_second());
    Ok(())
}
