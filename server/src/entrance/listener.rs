//! The accept loop: caps before work.
//!
//! 1. Accept; close at once what is beyond the cap, in all or for one address.
//! 2. The host attends to it.
//! 3. At shutdown: no new connection, the open ones end within their time.

use super::gate::Gate;
use crate::config::Limits;
use crate::limits::budgets::network;
use crate::metrics::Limit;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Who attends to connections.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// From the first byte to the last. `closed` turns true when it should come to its end.
    fn attend(
        self,
        stream: TcpStream,
        address: IpAddr,
        closed: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send;
}

/// Serves with `host` until `shutdown` resolves and the open connections have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    host: impl Host,
    gate: Arc<Gate>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let metrics = Arc::clone(gate.metrics());
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
                if gate.lets_connect(address) {
                    let (host, closed) = (host.clone(), closed.clone());
                    metrics.connections.inc();
                    let metrics = Arc::clone(&metrics);
                    connections.spawn(async move {
                        host.attend(stream, address, closed).await;
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
