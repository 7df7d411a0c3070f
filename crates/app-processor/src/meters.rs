//! A provider's metrics, looked up once: a look-up by labels costs more than the rest of counting a call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{Channel, Outcome};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use service::metrics::{ChannelLabel, Metrics, ProviderLabel, ProviderOutcome};
use tokio::time::Instant;

use crate::latest_calls::{Lately, LatestCalls};

#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    provider_id: String,
    in_flight: Gauge,
    send_duration: Histogram,
    accepted: Counter,
    /// In the order of [`Channel::ALL`].
    dispatch_latency: Vec<Histogram>,
    latest: Mutex<LatestCalls>,
}

impl Meters {
    pub(crate) fn new(metrics: &Metrics, provider_id: &str) -> Self {
        let label = ProviderLabel::new(provider_id);
        let accepted = Outcome::Accepted { provider_message_id: None };
        let latency = |channel: &Channel| {
            metrics.dispatch_latency_seconds.get_or_create(&ChannelLabel::new(channel.as_str())).clone()
        };
        Self {
            in_flight: metrics.provider_in_flight.get_or_create(&label).clone(),
            send_duration: metrics.send_duration_seconds.get_or_create(&label).clone(),
            accepted: metrics.attempts.get_or_create(&attempt_of(provider_id, &accepted)).clone(),
            dispatch_latency: Channel::ALL.iter().map(latency).collect(),
            latest: Mutex::new(LatestCalls::new(Instant::now())),
            metrics: metrics.clone(),
            provider_id: provider_id.to_owned(),
        }
    }

    /// A call is under way until the guard is dropped.
    pub(crate) fn call(&self) -> Call<'_> {
        self.in_flight.inc();
        Call(&self.in_flight)
    }

    pub(crate) fn attempt(&self, outcome: &Outcome, took: Duration) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).add(took, Instant::now());
        self.send_duration.observe(took.as_secs_f64());
        match outcome {
            Outcome::Accepted { .. } => self.accepted.inc(),
            other => self.metrics.attempts.get_or_create(&attempt_of(&self.provider_id, other)).inc(),
        };
    }

    /// What calls took lately, and how many there were.
    pub(crate) fn lately(&self, now: Instant) -> Lately {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).lately(now)
    }

    /// From when it was due to the provider's answer.
    pub(crate) fn dispatched(&self, channel: Channel, latency: Duration) {
        let place = Channel::ALL.iter().position(|&other| other == channel);
        if let Some(histogram) = place.and_then(|place| self.dispatch_latency.get(place)) {
            histogram.observe(latency.as_secs_f64());
        }
    }
}

fn attempt_of(provider_id: &str, outcome: &Outcome) -> ProviderOutcome {
    ProviderOutcome::new(provider_id, outcome.as_str())
}

pub(crate) struct Call<'a>(&'a Gauge);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
