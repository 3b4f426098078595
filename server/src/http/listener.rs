//! The accept loop: caps before work, TLS before HTTP, a time limit on each step.
//!
//! 1. Accept; close at once what is beyond the cap, in all or for one address.
//! 2. TLS handshake within its time.
//! 3. HTTP/1.1 with bounded headers, a time for them, and no stalling (`stall`).
//! 4. At shutdown: no new connection, running requests finish within their time.

use super::stall::StallLimit;
use crate::config::Limits;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Without `tls` in plain HTTP. Serves `router` until `shutdown` resolves and the open connections have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
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
                if let Some(seat) = Seats::take(&seats, peer.ip(), &limits) {
                    let (tls, router, closed) = (tls.clone(), router.clone(), closed.clone());
                    connections.spawn(async move {
                        attend(stream, tls, router, limits, closed).await;
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

async fn attend(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    closed: watch::Receiver<bool>,
) {
    // Answers are small and each is waited for.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, router, limits, closed).await };
    match tokio::time::timeout(limits.handshake(), tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, router, limits, closed).await,
        Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
        Err(_) => tracing::debug!("handshake took too long"),
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    limits: Limits,
    mut closed: watch::Receiver<bool>,
) {
    let stream = StallLimit::new(stream, Duration::from_secs(limits.stall_seconds));
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.header_seconds))
            .max_headers(MOST_HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
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
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection; gives its place back when dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn take(seats: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut taken = seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = taken.values().sum();
        let of_address = taken.get(&address).copied().unwrap_or(0);
        if total >= limits.connections || of_address >= limits.connections_per_address {
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Seat { seats: Arc::clone(seats), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

const MOST_HEADERS: usize = 32;
const HEADER_BYTES: usize = 16 * 1024;

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
        assert_eq!(seats.taken.lock().unwrap().len(), 2);
    }
}
