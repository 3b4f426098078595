//! What the server counts, for Prometheus.

use crate::ecowatt;
use crate::ingest::Receipt;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// All counters. Cheap to raise from any thread.
pub struct Metrics {
    registry: Registry,
    uploads: Family<UploadLabels, Counter>,
    latency: Histogram,
    ecowatt_uploads: Family<EcowattLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    mqtt_messages: Family<MessageLabels, Counter>,
    /// Open connections.
    pub connections: Gauge,
    /// Devices that are connected over MQTT.
    pub mqtt_devices: Gauge,
    /// Devices whose keys are at hand.
    pub devices_cached: Gauge,
    /// Entries of the audit log.
    pub audit_entries: Gauge,
    /// Of the store's writer.
    pub commits: Commits,
}

/// What the store's writer counts.
#[derive(Debug, Clone)]
pub struct Commits {
    /// Jobs in each transaction.
    pub sizes: Histogram,
    /// Transactions that did not commit.
    pub failed: Counter,
    /// Jobs that wait.
    pub queued: Gauge,
}

/// A limit that refused somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Limit {
    /// Connections at once, in all or of one address.
    Connections,
    /// Handshakes of one address.
    Handshakes,
    /// All requests.
    All,
    /// Requests of one address.
    Address,
    /// Refused requests of one address.
    Refusals,
    /// Uploads of one device.
    Uploads,
    /// Other requests of one device.
    Device,
    /// Messages of one MQTT connection.
    Messages,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: Limit,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UploadLabels {
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Accepted,
    AlreadyStored,
    OutOfOrder,
    Malformed,
    Refused,
    TooMany,
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EcowattLabels {
    outcome: EcowattOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum EcowattOutcome {
    Accepted,
    Malformed,
    Refused,
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    outcome: MessageOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum MessageOutcome {
    Stored,
    NotStored,
}

impl Default for Commits {
    fn default() -> Self {
        let doubling = (0..10).map(|power| f64::from(1_u32 << power));
        Self { sizes: Histogram::new(doubling), failed: Counter::default(), queued: Gauge::default() }
    }
}

impl Metrics {
    /// All zero, but for what the store has counted.
    #[must_use]
    pub fn new(commits: Commits) -> Self {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let mut metrics = Self {
            registry: Registry::with_prefix("cotter"),
            uploads: Family::default(),
            latency: Histogram::new(seconds),
            ecowatt_uploads: Family::default(),
            limited: Family::default(),
            mqtt_messages: Family::default(),
            connections: Gauge::default(),
            mqtt_devices: Gauge::default(),
            devices_cached: Gauge::default(),
            audit_entries: Gauge::default(),
            commits,
        };
        let ecowatt = metrics.ecowatt_uploads.clone();
        let (messages, devices) = (metrics.mqtt_messages.clone(), metrics.mqtt_devices.clone());
        let Self { registry, uploads, latency, limited, connections, devices_cached, audit_entries, commits, .. } =
            &mut metrics;
        registry.register("uploads", "Packets received, by what became of them", uploads.clone());
        registry.register("upload_seconds", "From the whole packet to its answer", latency.clone());
        registry.register("ecowatt_uploads", "Uploads of the EcoWatt profile, by what became of them", ecowatt);
        registry.register("limited", "Connections and requests refused by a limit", limited.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register("mqtt_devices", "Devices that are connected over MQTT", devices);
        registry.register(
            "mqtt_messages",
            "Messages that devices published over MQTT, by what became of them",
            messages,
        );
        registry.register("devices_cached", "Devices whose keys are in memory", devices_cached.clone());
        registry.register("audit_entries", "Entries of the audit log", audit_entries.clone());
        registry.register("commit_jobs", "Jobs in each transaction of the store", commits.sizes.clone());
        registry.register("commits_failed", "Transactions of the store that failed", commits.failed.clone());
        registry.register("store_queue", "Jobs that wait for the store's writer", commits.queued.clone());
        metrics
    }

    /// A packet was answered, so long after it had come in.
    pub fn uploaded(&self, receipt: Receipt, took: Duration) {
        let outcome = match receipt {
            Receipt::Accepted(_) => Outcome::Accepted,
            Receipt::AlreadyStored => Outcome::AlreadyStored,
            Receipt::OutOfOrder => Outcome::OutOfOrder,
            Receipt::Malformed => Outcome::Malformed,
            Receipt::Refused => Outcome::Refused,
            Receipt::TooMany(_) => Outcome::TooMany,
            Receipt::Unavailable => Outcome::Unavailable,
        };
        self.uploads.get_or_create(&UploadLabels { outcome }).inc();
        self.latency.observe(took.as_secs_f64());
    }

    /// An upload of the compatibility profile was answered.
    pub fn ecowatt_uploaded(&self, receipt: &ecowatt::Receipt) {
        let outcome = match receipt {
            ecowatt::Receipt::Accepted { .. } => EcowattOutcome::Accepted,
            ecowatt::Receipt::Malformed => EcowattOutcome::Malformed,
            ecowatt::Receipt::Refused => EcowattOutcome::Refused,
            ecowatt::Receipt::Unavailable => EcowattOutcome::Unavailable,
        };
        self.ecowatt_uploads.get_or_create(&EcowattLabels { outcome }).inc();
    }

    /// A message that a device published over MQTT was dealt with.
    pub fn mqtt_message(&self, is_stored: bool) {
        let outcome = if is_stored { MessageOutcome::Stored } else { MessageOutcome::NotStored };
        self.mqtt_messages.get_or_create(&MessageLabels { outcome }).inc();
    }

    /// A limit refused somebody.
    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// In Prometheus' text format (OpenMetrics 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
