//! What a client publishes: taken in, stored, acknowledged.

use super::Visit;
use crate::ingest::Receipt;
use crate::metrics::Limit;
use crate::mqtt::session::{Farewell, Message};
use crate::mqtt::taken::Outcome;
use crate::mqtt::topic::{Publication, PublicationKind};
use crate::store::bridge::NewMessage;
use cotter_wire::api::{MQTT_COMPACT_TELEMETRY, MQTT_TELEMETRY};
use std::sync::Arc;
use std::time::Instant;

impl Visit<'_> {
    pub(super) async fn published(&mut self, message: Message) {
        if let Err(why) = self.take(&message).await {
            let detail = format!("{why:?}: {:?}", message.topic);
            self.broker.app.audit.device("mqtt-publication-refused", &self.own, &detail);
            self.leave(why);
        }
    }

    async fn take(&mut self, message: &Message) -> Result<(), Farewell> {
        let (app, config) = (&self.broker.app, &self.broker.config);
        let (now, length) = (Instant::now(), message.payload().len());
        if message.is_exactly_once {
            return Err(Farewell::ExactlyOnce);
        }
        // Nobody subscribes to what devices say, so nothing could be kept for them. MQTT 3.1.1 has no word for that.
        if message.is_retained && self.session.is_v5() {
            return Err(Farewell::Retained);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if self.messages.take(now).is_none() || self.bytes.take_many(length, now).is_none() {
            app.metrics.limited(Limit::Messages);
            return Err(Farewell::Rate);
        }
        let Publication { device, kind } = Publication::parse(&message.topic).ok_or(Farewell::Forbidden)?;
        match kind {
            PublicationKind::Attach => return self.attach(device, message).await,
            PublicationKind::Detach => return self.detach(device, message).await,
            PublicationKind::Event { .. } | PublicationKind::State => {}
        }
        if !self.is_here(device) {
            return Err(Farewell::Forbidden);
        }
        let (app, payload) = (Arc::clone(app), message.payload().to_vec());
        let received_at = app.clock.unix();
        match kind {
            PublicationKind::State => {
                if payload.len() > MOST_STATE {
                    return Err(Farewell::Size);
                }
                if self.states.take(now).is_none() {
                    app.metrics.limited(Limit::Messages);
                    return Err(Farewell::Rate);
                }
                let work = async move {
                    match app.store.add_state(device, payload, received_at).await {
                        Ok(true) => Outcome::Stored,
                        Ok(false) => Outcome::Rejected,
                        Err(error) => unavailable(&error),
                    }
                };
                self.taken.push(message.number, Box::pin(work), true);
            }
            PublicationKind::Event { folder } if folder == MQTT_TELEMETRY || folder == MQTT_COMPACT_TELEMETRY => {
                let is_compact = folder == MQTT_COMPACT_TELEMETRY;
                let work = async move {
                    let begun = Instant::now();
                    let receipt = if is_compact {
                        app.ingest.receive_compact(device, &payload).await
                    } else {
                        app.ingest.receive(device, &payload).await
                    };
                    app.metrics.uploaded(receipt, begun.elapsed());
                    match receipt {
                        Receipt::Accepted(_) | Receipt::AlreadyStored => Outcome::Stored,
                        Receipt::OutOfOrder | Receipt::Malformed | Receipt::Refused => Outcome::Rejected,
                        Receipt::TooMany(_) => Outcome::TooMany,
                        Receipt::Unavailable => Outcome::Unavailable,
                    }
                };
                // One after the other: the order of packets counts.
                self.taken.push(message.number, Box::pin(work), false);
            }
            PublicationKind::Event { folder } => {
                if !config.plain_events {
                    return Err(Farewell::Payload);
                }
                let new = NewMessage { device, folder: folder.to_owned(), payload, received_at };
                let kept = config.kept_events;
                let permit = Arc::clone(&app.bridge.room).try_acquire_owned().ok();
                let has_room = permit.is_some();
                let work = async move {
                    let _room = match permit {
                        Some(permit) => Ok(permit),
                        None => Arc::clone(&app.bridge.room).acquire_owned().await,
                    };
                    match app.store.add_message(new, kept).await {
                        Ok(Some(_)) => Outcome::Stored,
                        Ok(None) => Outcome::Rejected,
                        Err(error) => unavailable(&error),
                    }
                };
                self.taken.push(message.number, Box::pin(work), has_room);
            }
            PublicationKind::Attach | PublicationKind::Detach => {}
        }
        Ok(())
    }

    pub(super) fn stored(&mut self, number: Option<u16>, outcome: Outcome) {
        self.broker.app.metrics.mqtt_message(outcome == Outcome::Stored);
        match (outcome, number) {
            (Outcome::Stored, Some(number)) => self.session.acknowledge(number),
            (Outcome::Stored, None) => {}
            // Why, the ingest has noted.
            (Outcome::Rejected, Some(number)) => {
                if !self.session.reject(number) {
                    self.leave(Farewell::Payload);
                }
            }
            (Outcome::Rejected, None) => self.leave(Farewell::Payload),
            (Outcome::TooMany, _) => self.leave(Farewell::Rate),
            (Outcome::Unavailable, _) => self.leave(Farewell::Busy),
        }
    }
}

pub(super) fn unavailable(error: &dyn std::error::Error) -> Outcome {
    tracing::error!(%error, "a message is not stored");
    Outcome::Unavailable
}

/// Longest state, in bytes: as in Cloud IoT Core.
const MOST_STATE: usize = 64 * 1024;
