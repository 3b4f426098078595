//! What a gateway does: devices come and go on its connection.

use super::publish::unavailable;
use super::{Awaited, Visit};
use crate::mqtt::believe::by_token;
use crate::mqtt::errors::GatewayError;
use crate::mqtt::session::{Farewell, Message, Said};
use crate::mqtt::subscriber::Subscribed;
use crate::mqtt::taken::Outcome;
use crate::mqtt::topic::FilterKind;
use cotter_wire::ids::DeviceId;
use std::sync::Arc;

impl Visit<'_> {
    pub(super) async fn attach(&mut self, device: DeviceId, message: &Message) -> Result<(), Farewell> {
        let app = Arc::clone(&self.broker.app);
        let bound = match app.store.binding(self.own, device).await {
            Ok(Some(bound)) => bound,
            // It is no gateway.
            Ok(None) => return Err(Farewell::Forbidden),
            Err(error) => {
                unavailable(&error);
                return Err(Farewell::Busy);
            }
        };
        let until = match authorization(message.payload()) {
            None => bound.then_some(None),
            Some(token) => match by_token(&app, &self.broker.config, device, token.as_bytes(), self.now()).await {
                Ok(Ok(admission)) => Some(Some(admission.close_at)),
                Ok(Err(why)) => {
                    app.audit.stranger(why.code(), &device, &format!("{why}, brought by {}", self.own));
                    None
                }
                Err(error) => {
                    unavailable(&error);
                    return Err(Farewell::Busy);
                }
            },
        };
        let is_known = matches!(app.store.device(device).await, Ok(Some(_)));
        match until.filter(|_| is_known && device != self.own) {
            Some(until) if self.subscribers.bring(device, until) => app.bridge.live.bring(device, &self.line),
            _ => {
                app.audit.device("mqtt-attachment-refused", &self.own, &device);
                self.complain(GatewayError::Attachment, device, message);
            }
        }
        self.taken.push(message.number, Box::pin(std::future::ready(Outcome::Stored)), true);
        Ok(())
    }

    pub(super) async fn detach(&mut self, device: DeviceId, message: &Message) -> Result<(), Farewell> {
        match self.broker.app.store.binding(self.own, device).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Farewell::Forbidden),
            Err(error) => {
                unavailable(&error);
                return Err(Farewell::Busy);
            }
        }
        if self.subscribers.take_away(device) {
            self.broker.app.bridge.live.give(device, &self.line);
        } else {
            self.complain(GatewayError::Detachment, device, message);
        }
        self.taken.push(message.number, Box::pin(std::future::ready(Outcome::Stored)), true);
        Ok(())
    }

    /// Tells the gateway, if it wants to know.
    fn complain(&mut self, what: GatewayError, device: DeviceId, message: &Message) {
        let own = self.own;
        let Some(Subscribed { is_acknowledged }) = *self.subscribers.own().subscription(FilterKind::Errors) else {
            return;
        };
        let document = what.document(device, &message.topic, message.number);
        let said = self.session.publish(&format!("/devices/{own}/errors"), &document, is_acknowledged, false);
        if let Some(Said(Some(number))) = said {
            self.awaited.push((number, Awaited::Nothing));
        }
    }
}

/// `{"authorization":"TOKEN"}`; `None` if a gateway shows no token.
fn authorization(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Attachment {
        authorization: Option<String>,
    }
    if payload.is_empty() {
        return None;
    }
    // What does not read is a token that does not hold.
    let attachment = serde_json::from_slice(payload).unwrap_or(Attachment { authorization: Some(String::new()) });
    attachment.authorization
}
