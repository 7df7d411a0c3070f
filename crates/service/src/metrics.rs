//! Every metric of the platform, by its Prometheus name. Ids and addresses are never labels.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

macro_rules! label_set {
    ($name:ident { $($label:ident),+ }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(pub $label: String,)+ }

        impl $name {
            pub fn new($($label: &str),+) -> Self {
                Self { $($label: $label.to_owned(),)+ }
            }
        }
    };
}

label_set!(ChannelDirection { channel, direction });
label_set!(ChannelStatusCode { channel, status, code });
label_set!(ChannelState { channel, state });
label_set!(ChannelLabel { channel });
label_set!(ProviderOutcome { provider_id, outcome });
label_set!(ProviderDelivery { provider_id, delivery });
label_set!(ProviderResolution { provider_id, resolution });
label_set!(ProviderResult { provider_id, result });
label_set!(ProviderLabel { provider_id });
label_set!(SurfaceReason { surface, reason });

/// Of every request: looked up without a copy of what does not vary.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteMethodStatus {
    pub route: String,
    pub method: &'static str,
    pub status: u16,
}

type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// One set a process, shared by clones.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
pub struct Inner {
    registry: Registry,
    pub messages_accepted: Family<ChannelDirection, Counter>,
    pub messages_settled: Family<ChannelStatusCode, Counter>,
    pub attempts: Family<ProviderOutcome, Counter>,
    pub receipts: Family<ProviderDelivery, Counter>,
    pub receipts_not_applied: Family<ProviderResult, Counter>,
    pub outcomes_unknown: Family<ProviderResolution, Counter>,
    pub leases_lost: Counter,
    pub webhooks_received: Family<ProviderResult, Counter>,
    pub authentication_failures: Family<SurfaceReason, Counter>,
    pub outbox_messages: Family<ChannelState, Gauge>,
    pub outbox_oldest_due_age_seconds: Family<ChannelLabel, Gauge<f64, AtomicU64>>,
    pub provider_in_flight: Family<ProviderLabel, Gauge>,
    pub http_request_duration_seconds: HistogramFamily<RouteMethodStatus>,
    pub claim_duration_seconds: Histogram,
    pub settle_duration_seconds: Histogram,
    pub send_duration_seconds: HistogramFamily<ProviderLabel>,
    pub dispatch_latency_seconds: HistogramFamily<ChannelLabel>,
    database_reachable: Gauge,
    database_figures_age_seconds: Gauge<f64, AtomicU64>,
    /// When the gauges of the outbox were last read from the database.
    measured_at: Mutex<Option<Instant>>,
}

/// From half a millisecond to 33 s, doubling.
fn latency() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.0005, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("app"),
            messages_accepted: Family::default(),
            messages_settled: Family::default(),
            attempts: Family::default(),
            receipts: Family::default(),
            receipts_not_applied: Family::default(),
            outcomes_unknown: Family::default(),
            leases_lost: Counter::default(),
            webhooks_received: Family::default(),
            authentication_failures: Family::default(),
            outbox_messages: Family::default(),
            outbox_oldest_due_age_seconds: Family::default(),
            provider_in_flight: Family::default(),
            http_request_duration_seconds: Family::new_with_constructor(latency),
            claim_duration_seconds: latency(),
            settle_duration_seconds: latency(),
            send_duration_seconds: Family::new_with_constructor(latency),
            dispatch_latency_seconds: Family::new_with_constructor(latency),
            database_reachable: Gauge::default(),
            database_figures_age_seconds: Gauge::default(),
            measured_at: Mutex::new(None),
        };
        inner.register();
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("messages_accepted", "Messages stored, by direction", self.messages_accepted.clone());
        r.register("messages_settled", "Messages that reached ok or failed", self.messages_settled.clone());
        r.register("attempts", "Provider calls, by outcome", self.attempts.clone());
        r.register("receipts", "Receipts applied", self.receipts.clone());
        r.register(
            "receipts_not_applied",
            "Receipts not applied, by what became of them: stale, parked, unknown_message, not_asked, wrong_attempt",
            self.receipts_not_applied.clone(),
        );
        r.register("outcomes_unknown", "Unknown outcomes, by what was done", self.outcomes_unknown.clone());
        r.register(
            "leases_lost",
            "Outcomes not written because another holds the lease",
            self.leases_lost.clone(),
        );
        r.register("webhooks_received", "Webhooks, by what became of them", self.webhooks_received.clone());
        r.register(
            "authentication_failures",
            "Credentials refused, by where and why",
            self.authentication_failures.clone(),
        );
        r.register("outbox_messages", "Messages not settled, by state", self.outbox_messages.clone());
        r.register(
            "outbox_oldest_due_age_seconds",
            "How long the oldest due message waits",
            self.outbox_oldest_due_age_seconds.clone(),
        );
        r.register("provider_in_flight", "Provider calls under way", self.provider_in_flight.clone());
        r.register(
            "http_request_duration_seconds",
            "HTTP requests served",
            self.http_request_duration_seconds.clone(),
        );
        r.register("claim_duration_seconds", "Claims", self.claim_duration_seconds.clone());
        r.register("settle_duration_seconds", "Settles", self.settle_duration_seconds.clone());
        r.register("send_duration_seconds", "Provider calls", self.send_duration_seconds.clone());
        r.register(
            "dispatch_latency_seconds",
            "From due to the provider's answer",
            self.dispatch_latency_seconds.clone(),
        );
        r.register(
            "database_reachable",
            "1 while the database serves, 0 from the first failure until it serves again",
            self.database_reachable.clone(),
        );
        r.register(
            "database_figures_age_seconds",
            "Age of the gauges that are read from the database; where none is, since its last answer",
            self.database_figures_age_seconds.clone(),
        );
        r.register("build", "Version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Metrics {
    /// The gauges of the outbox were just read from the database.
    pub fn measured(&self) {
        *self.measured_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Notes what is known of the database, for [`encode`](Self::encode): whether it serves, and since when it has
    /// answered nothing.
    pub fn note_database(&self, serves: bool, silence: Duration) {
        self.database_reachable.set(i64::from(serves));
        let measured_at = *self.measured_at.lock().unwrap_or_else(PoisonError::into_inner);
        let age = measured_at.map_or(silence, |at| at.elapsed());
        self.database_figures_age_seconds.set(age.as_secs_f64());
    }

    /// The text that Prometheus reads (`application/openmetrics-text; version=1.0.0; charset=utf-8`).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_documented_ones() {
        let metrics = Metrics::default();
        metrics.messages_accepted.get_or_create(&ChannelDirection::new("sms", "outbound")).inc();
        metrics.outbox_messages.get_or_create(&ChannelState::new("sms", "due")).set(3);
        metrics.claim_duration_seconds.observe(0.001);
        metrics.note_database(false, Duration::from_secs(90));
        let text = metrics.encode();
        for line in [
            "app_messages_accepted_total{channel=\"sms\",direction=\"outbound\"} 1",
            "app_outbox_messages{channel=\"sms\",state=\"due\"} 3",
            "app_claim_duration_seconds_count 1",
            "app_leases_lost_total 0",
            "app_database_reachable 0",
            "app_database_figures_age_seconds 90.0",
            "app_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
