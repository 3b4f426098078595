//! The accept loop: caps before work, TLS before HTTP, a time limit on each step.
//!
//! 1. Accept; close at once what is beyond the cap, in all or for one address.
//! 2. TLS handshake within its time.
//! 3. Packets in their usual spelling (`lane`); with the first request that is anything else, HTTP/1.1 with bounded headers,
//!    a time for them, and no stalling (`stall`).
//! 4. At shutdown: no new connection, running requests finish within their time.

use super::certificate::{Certified, Door};
use super::device;
use super::gate::Gate;
use super::lane::{Rewound, Visit};
use super::stall::StallLimit;
use crate::app::App;
use crate::config::Limits;
use crate::limits::budgets::network;
use crate::metrics::{Limit, Metrics};
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Serves `house` until `shutdown` resolves and the open connections have ended.
pub(crate) async fn serve(listener: TcpListener, house: House, limits: Limits, shutdown: impl Future<Output = ()>) {
    let metrics = Arc::clone(&house.metrics);
    let (closing, closed) = watch::channel(false);
    let seats = Arc::new(Seats::default());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
            // Reaps ended connections, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let address = network(peer.ip());
                let Some(seat) = Seats::take(&seats, address, &limits) else {
                    metrics.limited(Limit::Connections);
                    continue;
                };
                if house.gate.lets_connect(address) {
                    let (house, closed) = (house.clone(), closed.clone());
                    metrics.connections.inc();
                    let metrics = Arc::clone(&metrics);
                    connections.spawn(async move {
                        attend(stream, address, house, limits, closed).await;
                        metrics.connections.dec();
                        drop(seat);
                    });
                }
            }
            Err(error) => {
                // Out of file descriptors, or a peer that was gone already. Breathe, so as not to spin.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    tracing::info!(open = connections.len(), "shutting down");
    // Fails only if nobody listens, that is, if no connection is open.
    let _ = closing.send(true);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(limits.shutdown_seconds), rest).await.is_err() {
        connections.shutdown().await;
    }
}

/// What is behind a listener.
#[derive(Clone)]
pub(crate) struct House {
    router: Router,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    // None: plain HTTP.
    tls: Option<TlsAcceptor>,
    // Where packets may come in, past the router.
    packets: Option<Arc<App>>,
    // None: no certificates, all routes that there are.
    door: Option<Door>,
}

impl House {
    /// All routes that the door lets in, over TLS.
    pub(crate) fn whole(app: &Arc<App>, gate: &Arc<Gate>, tls: TlsAcceptor, door: Door) -> Self {
        let (packets, door) = (Some(Arc::clone(app)), Some(door));
        Self { packets, door, ..Self::with(super::router(Arc::clone(app)), app, gate, Some(tls)) }
    }

    /// These routes and no others; without `tls` in plain HTTP.
    pub(crate) fn with(router: Router, app: &App, gate: &Arc<Gate>, tls: Option<TlsAcceptor>) -> Self {
        Self { router, gate: Arc::clone(gate), metrics: Arc::clone(&app.metrics), tls, packets: None, door: None }
    }
}

async fn attend(stream: TcpStream, address: IpAddr, house: House, limits: Limits, closed: watch::Receiver<bool>) {
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    let Some(tls) = house.tls.clone() else {
        return converse(stream, address, house, None, limits, closed).await;
    };
    match tokio::time::timeout(limits.handshake(), tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certified = house.door.as_ref().map_or(Ok(None), |door| door.certified(certificate));
            match certified {
                Ok(certified) => converse(stream, address, house, certified, limits, closed).await,
                Err(why) => {
                    if let Some(app) = &house.packets {
                        app.audit.stranger("certificate-refused", &address, &why);
                    }
                }
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
        Err(_) => tracing::debug!("handshake took too long"),
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    address: IpAddr,
    house: House,
    certified: Option<Certified>,
    limits: Limits,
    mut closed: watch::Receiver<bool>,
) {
    let stall = Duration::from_secs(limits.stall_seconds);
    let House { router, gate, packets, door, .. } = house;
    let stream = match &packets {
        Some(app) => {
            let visit = Visit { app, gate: &gate, door: door.as_ref(), certified, address };
            let idle = stall.min(Duration::from_secs(limits.header_seconds));
            // Ends also if the sender is gone, which is a shutdown too.
            let told_to_close = async { drop(closed.wait_for(|closed| *closed).await) };
            let Some(rest) = visit.attend(stream, idle, told_to_close).await else { return };
            rest
        }
        None => Rewound::fresh(stream),
    };
    let stream = StallLimit::new(stream, stall);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let (packets, gate, router) = (packets.clone(), Arc::clone(&gate), router.clone());
        let shut = door.as_ref().and_then(|door| door.refusal(request.uri().path(), certified));
        async move {
            if let Some(refused) = gate.refusal(address, request.headers()).or(shut) {
                gate.leave(address, refused.status());
                return Ok(refused);
            }
            if let Some(certified) = certified {
                request.extensions_mut().insert(certified);
            }
            let response = match (packets, device::brings_packet(&request)) {
                (Some(app), Some(id)) => device::receive(&app, id, request).await,
                _ => router.call(request).await?,
            };
            gate.leave(address, response.status());
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.header_seconds))
            .max_headers(MOST_HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Ends also if the sender is gone, which is a shutdown too.
    let told_to_close = async move { closed.wait_for(|closed| *closed).await.is_ok() };
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        _ = told_to_close => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Who holds how many connections.
#[derive(Default)]
struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// One connection; gives its place back when dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn take(seats: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut taken = seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.of_address.get(&address).copied().unwrap_or(0);
        if taken.total >= limits.connections || of_address >= limits.connections_per_address {
            return None;
        }
        taken.total += 1;
        taken.of_address.insert(address, of_address + 1);
        Some(Seat { seats: Arc::clone(seats), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Entry::Occupied(mut entry) = taken.of_address.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

pub(super) const MOST_HEADERS: usize = 32;
pub(super) const HEADER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_in_all_and_per_address_and_come_back() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let (one, two): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let seats = Arc::new(Seats::default());
        let first = Seats::take(&seats, one, &limits).unwrap();
        let _second = Seats::take(&seats, one, &limits).unwrap();
        assert!(Seats::take(&seats, one, &limits).is_none(), "two per address");
        let _third = Seats::take(&seats, two, &limits).unwrap();
        assert!(Seats::take(&seats, two, &limits).is_none(), "three in all");
        drop(first);
        let _again = Seats::take(&seats, one, &limits).unwrap();
        assert_eq!(seats.taken.lock().unwrap().of_address.len(), 2);
    }
}
