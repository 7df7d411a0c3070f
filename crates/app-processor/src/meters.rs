//! A provider's metrics, looked up once: a look-up by labels costs more than the rest of counting a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Channel, Outcome};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use service::metrics::{ChannelLabel, Metrics, ProviderLabel, ProviderOutcome};

#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    provider_id: String,
    in_flight: Gauge,
    send_duration: Histogram,
    accepted: Counter,
    /// In the order of [`Channel::ALL`].
    dispatch_latency: Vec<Histogram>,
    latency_us: AtomicU64,
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
            latency_us: AtomicU64::new(0),
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
        // A moving average over some ten calls. Two calls that end at once may lose one of them.
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let latency_us = match self.latency_us.load(Ordering::Relaxed) {
            0 => took_us,
            before => before - before / 10 + took_us / 10,
        };
        self.latency_us.store(latency_us, Ordering::Relaxed);
        self.send_duration.observe(took.as_secs_f64());
        match outcome {
            Outcome::Accepted { .. } => self.accepted.inc(),
            other => self.metrics.attempts.get_or_create(&attempt_of(&self.provider_id, other)).inc(),
        };
    }

    /// What calls took lately; nothing before the first.
    pub(crate) fn latency_ms(&self) -> Option<f32> {
        let latency_us = self.latency_us.load(Ordering::Relaxed);
        let whole_us = u32::try_from(latency_us).unwrap_or(u32::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
        (whole_us > 0).then(|| (f64::from(whole_us) / 1e3) as f32)
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
