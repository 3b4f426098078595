//! A connection up to the greeting: TLS, who has come, whether it is let in. What follows is a visit.

use super::believe::{Believed, believe};
use super::session::{Greeting, Heard, Session, Unwelcome};
use super::visit::{MOST_SILENCE_S, Visit};
use super::wire::Wire;
use crate::app::App;
use crate::config::{Limits, Mqtt};
use crate::entrance::certificate::Door;
use crate::entrance::gate::Gate;
use crate::entrance::listener::Host;
use crate::entrance::tls::handshake;
use cotter_wire::ids::DeviceId;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Attends to MQTT clients.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(super) app: Arc<App>,
    gate: Arc<Gate>,
    pub(super) config: Arc<Mqtt>,
    tls: TlsAcceptor,
    door: Door,
    limits: Limits,
}

impl Broker {
    pub(crate) fn new(app: &Arc<App>, gate: &Arc<Gate>, config: Mqtt, tls: TlsAcceptor, door: Door) -> Self {
        let (app, gate, limits) = (Arc::clone(app), Arc::clone(gate), app.limits);
        Self { app, gate, config: Arc::new(config), tls, door, limits }
    }

    /// What this listener may take.
    pub(crate) fn limits(&self) -> Limits {
        let Mqtt { connections, connections_per_address, .. } = *self.config;
        Limits { connections, connections_per_address, ..self.limits }
    }
}

impl Host for Broker {
    async fn attend(self, stream: TcpStream, address: IpAddr, mut closed: watch::Receiver<bool>) {
        let note = |why| self.app.audit.stranger("certificate-refused", &address, &why);
        let Some((stream, certified)) = handshake(stream, &self.tls, Some(&self.door), &self.limits, note).await else {
            return;
        };
        let mut wire = Wire::new(stream, Duration::from_secs(self.limits.stall_seconds));
        let certified = certified.map(|certified| certified.0);
        // Ends also if the sender is gone, which is a shutdown too.
        let told_to_close = async { drop(closed.wait_for(|closed| *closed).await) };
        let mut told_to_close = std::pin::pin!(told_to_close);
        let greeted = tokio::select! {
            biased;
            () = &mut told_to_close => None,
            greeted = tokio::time::timeout(self.limits.body(), self.greet(&mut wire, address, certified)) => greeted.ok().flatten(),
        };
        if let Some((session, believed, inbox)) = greeted {
            let line = self.app.bridge.live.arrive(believed.device);
            self.app.metrics.mqtt_devices.inc();
            Visit::new(&self, session, believed, line, inbox).attend(&mut wire, told_to_close).await;
            self.app.metrics.mqtt_devices.dec();
        }
        wire.close().await;
    }
}

impl Broker {
    /// Hears who has come, and lets it in or not.
    async fn greet(
        &self,
        wire: &mut Wire,
        address: IpAddr,
        certified: Option<DeviceId>,
    ) -> Option<(Session, Believed, VecDeque<Heard>)> {
        let mut session = Session::new(MOST_PAYLOAD);
        let greeting = loop {
            let bytes = wire.read().await?;
            match session.hear(&bytes).into_iter().next() {
                Some(Heard::Greeting(greeting)) => break greeting,
                Some(Heard::Fault(why)) => {
                    self.app.audit.stranger("mqtt-malformed", &address, &why);
                    self.gate.refused(address);
                }
                _ => {}
            }
            if session.is_over() {
                wire.write(&session.said()).await?;
                return None;
            }
        };
        let decided = self.decide(&greeting, address, certified).await;
        let inbox = match decided {
            Ok(_) => session.accept(MOST_SILENCE_S),
            Err(why) => {
                if why != Unwelcome::Unavailable {
                    self.gate.refused(address);
                }
                session.refuse(why);
                Vec::new()
            }
        };
        wire.write(&session.said()).await?;
        Some((session, decided.ok()?, inbox.into()))
    }

    async fn decide(
        &self,
        greeting: &Greeting,
        address: IpAddr,
        certified: Option<DeviceId>,
    ) -> Result<Believed, Unwelcome> {
        if self.gate.exceeded(address).is_some() {
            return Err(Unwelcome::Unavailable);
        }
        believe(&self.app, &self.config, greeting, certified).await
    }
}

/// Longest message, in bytes: as in Cloud IoT Core.
const MOST_PAYLOAD: u32 = 256 * 1024;
