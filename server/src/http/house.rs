//! Who lives behind a listener for HTTP: TLS before HTTP, a time limit on each step.
//!
//! 1. TLS handshake within its time.
//! 2. Packets in their usual spelling (`lane`); with the first request that is anything else, HTTP/1.1 with bounded headers,
//!    a time for them, and no stalling (`stall`).
//! 3. At shutdown, the running request finishes.

use super::answer;
use super::device;
use super::lane::{Rewound, Visit};
use super::stall::StallLimit;
use super::whose::refusal;
use crate::app::App;
use crate::config::Limits;
use crate::entrance::certificate::{CertificateRefusal, Certified, Door};
use crate::entrance::gate::Gate;
use crate::entrance::listener::Host;
use crate::entrance::tls::handshake;
use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::TRANSFER_ENCODING;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What is behind a listener.
#[derive(Clone)]
pub(crate) struct House {
    router: Router,
    gate: Arc<Gate>,
    limits: Limits,
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
        Self { router, gate: Arc::clone(gate), limits: app.limits, tls, packets: None, door: None }
    }
}

impl Host for House {
    async fn attend(self, stream: TcpStream, address: IpAddr, closed: watch::Receiver<bool>) {
        let Some(tls) = self.tls.clone() else {
            // Answers are small and each is waited for.
            let _ = stream.set_nodelay(true);
            return converse(stream, address, self, None, closed).await;
        };
        let note = |why: CertificateRefusal| {
            if let Some(app) = &self.packets {
                app.audit.stranger("certificate-refused", &address, &why);
            }
        };
        if let Some((stream, certified)) = handshake(stream, &tls, self.door.as_ref(), &self.limits, note).await {
            converse(stream, address, self, certified, closed).await;
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    address: IpAddr,
    house: House,
    certified: Option<Certified>,
    mut closed: watch::Receiver<bool>,
) {
    let House { router, gate, packets, door, limits, .. } = house;
    let stall = Duration::from_secs(limits.stall_seconds);
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
        let shut = door.as_ref().and_then(|door| refusal(door, request.uri().path(), certified));
        async move {
            if let Some(refused) = too_much(&gate, address, request.headers()).or(shut) {
                leave(&gate, address, refused.status());
                return Ok(refused);
            }
            if let Some(certified) = certified {
                request.extensions_mut().insert(certified);
            }
            let response = match (packets, device::brings_packet(&request)) {
                (Some(app), Some(id)) => device::receive(&app, id, request).await,
                _ => router.call(request).await?,
            };
            leave(&gate, address, response.status());
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

/// What to answer at once; `None` lets the request pass.
fn too_much(gate: &Gate, address: IpAddr, headers: &HeaderMap) -> Option<Response> {
    // Who sends a length and chunks is understood differently by different servers. Our clients know their lengths,
    // so nobody needs chunks.
    if headers.contains_key(TRANSFER_ENCODING) {
        return Some(answer::closing(answer::refused(StatusCode::LENGTH_REQUIRED)));
    }
    gate.exceeded(address).map(answer::too_many)
}

/// Counts an answer that a stranger could have provoked.
pub(super) fn leave(gate: &Gate, address: IpAddr, status: StatusCode) {
    let strange = status.is_client_error()
        && !matches!(status, StatusCode::CONFLICT | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    if strange {
        gate.refused(address);
    }
}

pub(super) const MOST_HEADERS: usize = 32;
pub(super) const HEADER_BYTES: usize = 16 * 1024;
