//! An installation as an operator would run it, with a sink as its provider: an API key, a route, known people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use app_db::Pool;
use app_db::keys::{self, Role};
use chaos::configuration::twilio;
use chaos::installation::Installation;
use chaos::wait::until;
use http::Method;
use model::IdGenerator;
use provider_simulator::{DEMO_TWILIO_AUTH_TOKEN, twilio_signature};
use service::Clock;

use crate::bench::{Bench, checkpoint};
use crate::connection::{Make, request};
use crate::people::{self, BODY, SENDER};
use crate::sink::Sink;

pub const PROVIDER: &str = "twilio-main";
/// The route that the configuration has without any in it: any provider of the channel.
pub const ROUTE: &str = "sms";
const MAX_IN_FLIGHT: usize = 1000;

#[derive(Debug)]
pub struct Rig {
    pub installation: Installation,
    pub sink: Sink,
    pub key: String,
    pub api: SocketAddr,
}

impl Rig {
    /// # Errors
    /// When something does not start.
    pub async fn new(bench: &mut Bench) -> anyhow::Result<Self> {
        let installation = bench.installation().await?;
        people::store_known(&installation).await?;
        let rig = Self::over(installation).await?;
        checkpoint(&rig.installation).await?;
        Ok(rig)
    }

    /// Over an installation that has its people.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn over(installation: Installation) -> anyhow::Result<Self> {
        let sink = Sink::start().await?;
        let more = format!("max_in_flight = {MAX_IN_FLIGHT}");
        installation.configure(&twilio(PROVIDER, &sink.url(), &more))?;
        let ids = IdGenerator::from_entropy()?;
        let client = installation.pool.get().await?;
        let mut random = || fastrand::u8(..);
        let (key, _) =
            keys::create(&client, &ids, Clock::System.now(), "bench", Role::Operator, &mut random).await?;
        drop(client);
        let api = installation.api_url().trim_start_matches("http://").parse()?;
        Ok(Self { installation, sink, key, api })
    }

    /// Text messages to the mix of people. With `keyed` each has an Idempotency-Key.
    pub fn sends(&self, known_people: usize, keyed: bool) -> Make {
        let authorization = format!("Bearer {}", self.key);
        Arc::new(move |n| {
            let body = format!(
                r#"{{"from":"{SENDER}","to":"{}","type":"sms","body":"{BODY}"}}"#,
                people::nth(n, known_people)
            );
            let key = format!("key-{n}");
            let mut headers = vec![("content-type", "application/json"), ("authorization", &authorization)];
            if keyed {
                headers.push(("idempotency-key", &key));
            }
            request(Method::POST, "/api/messages/sms", &headers, body)
        })
    }

    /// Requests that Twilio would make: `target` is path and query, `form` the parameters of the `n`th.
    pub fn webhooks(
        &self,
        webhook: impl Fn(usize) -> (String, Vec<(String, String)>) + Send + Sync + 'static,
    ) -> Make {
        let public_url = self.installation.api_url();
        Arc::new(move |n| {
            let (target, form) = webhook(n);
            let url = format!("{public_url}{target}");
            let signature = twilio_signature(DEMO_TWILIO_AUTH_TOKEN, &url, &form);
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
            let headers = [
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-twilio-signature", signature.as_str()),
            ];
            request(Method::POST, &target, &headers, body)
        })
    }
}

/// Waits until nothing waits to be sent, without counting what does.
///
/// # Errors
/// When something still waits after `limit`.
pub async fn wait_until_drained(pool: &Pool, limit: Duration) -> anyhow::Result<()> {
    until("the outbox is empty", limit, async || {
        let client = pool.get().await?;
        let waits: bool = client.query_one("select exists (select from outbox)", &[]).await?.get(0);
        Ok((!waits).then_some(()))
    })
    .await
}
