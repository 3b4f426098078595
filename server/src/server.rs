//! From a configuration to a listening server, and to its orderly end.

use crate::app::{App, OpenError};
use crate::audit::kept::{KeptCheckpoint, KeptError};
use crate::clock::SteadyClock;
use crate::config::{self, Client, Config, Listener, Serves, Tls};
use crate::entrance::certificate::Door;
use crate::entrance::gate::Gate;
use crate::entrance::tls::Clients;
use crate::entrance::{TlsError, listener, tls};
use crate::http;
use crate::http::house::House;
use crate::mqtt::Broker;
use crate::store::StoreError;
use crate::trust::chain::ChainBroken;
use cotter_wire::ids::DeviceId;
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Listening, but not answering yet.
pub struct Server {
    // Of `listen`, and of `[[listeners]]` in their order; there is one at least.
    listeners: Vec<Listening>,
    address: SocketAddr,
    app: App,
    kept: KeptCheckpoint,
    metrics: Option<(TcpListener, SocketAddr)>,
    ecowatt: Option<Ecowatt>,
    mqtt: Option<(Listening, config::Mqtt)>,
}

/// A listener over TLS.
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    door: Door,
}

/// The listener of the compatibility profile.
struct Ecowatt {
    listener: TcpListener,
    address: SocketAddr,
    // None: plain HTTP.
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Reads keys and certificate, opens the database, and binds the address. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let plain = tls::acceptor(&config.tls, &Clients::OFF, tls::HTTP)?;
        let app = App::open(config)?;
        let kept = KeptCheckpoint::beside(&config.data);
        kept.resume(&*app.store, &app.audit_key).await?;
        app.key_ages.note(&app.keys_in_use).await?;
        app.firmware.chain().await?;
        let listeners = Listening::bind_all(config).await?;
        let address = listeners.first().map_or(config.listen, |first| first.address);
        let ecowatt = match &config.ecowatt {
            Some(ecowatt) => Some(Ecowatt::bind(ecowatt, &plain).await?),
            None => None,
        };
        let mqtt = match &config.mqtt {
            Some(mqtt) => Some((Listening::bind_mqtt(config, mqtt).await?, mqtt.clone())),
            None => None,
        };
        let metrics = match config.metrics.map(|metrics| metrics.listen) {
            Some(address) if !address.ip().is_loopback() => return Err(StartError::MetricsExposed { address }),
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { listeners, address, app, kept, metrics, ecowatt, mqtt })
    }

    /// Where it serves its counters, if it does.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Where it listens; the port that the system chose if the configuration said 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every address where it listens over TLS to devices or administrators: [`Self::address`], then `[[listeners]]`.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listening| listening.address).collect()
    }

    /// Where it listens to EcoWatt devices, if it does.
    #[must_use]
    pub fn ecowatt_address(&self) -> Option<SocketAddr> {
        self.ecowatt.as_ref().map(|ecowatt| ecowatt.address)
    }

    /// Where it listens for MQTT, if it does.
    #[must_use]
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.mqtt.as_ref().map(|(listening, _)| listening.address)
    }

    /// Serves until `shutdown` resolves; running requests finish, then the database closes.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let store = Arc::clone(&self.app.store);
        let renew = async || {
            if let Err(error) = self.kept.renew(&*store).await {
                tracing::error!(%error, "the audit log's checkpoint is not kept");
            }
        };
        let app = Arc::new(self.app);
        let counters = async {
            match self.metrics {
                Some((listener, _)) => http::metrics::serve(listener, Arc::clone(&app)).await,
                None => std::future::pending().await,
            }
        };
        let (ending, ended) = watch::channel(false);
        let shutdown = async move {
            shutdown.await;
            // Fails only if nobody listens.
            let _ = ending.send(true);
        };
        let (limits, gate) = (app.limits, Arc::new(Gate::new(&app)));
        let other = http::ecowatt::router(Arc::clone(&app));
        let ends = |mut ended: watch::Receiver<bool>| async move { drop(ended.wait_for(|ended| *ended).await) };
        let ecowatt = async {
            let Some(Ecowatt { listener, tls, .. }) = self.ecowatt else { return };
            let shutdown = ends(ended.clone());
            let house = House::with(other, &app, &gate, tls);
            listener::serve(listener, house, Arc::clone(&gate), limits, shutdown).await;
        };
        let mut served = JoinSet::new();
        if let Some((Listening { listener, tls, door, .. }, config)) = self.mqtt {
            let broker = Broker::new(&app, &gate, config, tls, door);
            let (limits, ended) = (broker.limits(), ended.clone());
            served.spawn(listener::serve(listener, broker, Arc::clone(&gate), limits, ends(ended)));
        }
        for Listening { listener, tls, door, .. } in self.listeners {
            let (house, ended) = (House::whole(&app, &gate, tls, door), ended.clone());
            served.spawn(listener::serve(listener, house, Arc::clone(&gate), limits, ends(ended)));
        }
        let all = async { while served.join_next().await.is_some() {} };
        let served = async { tokio::join!(shutdown, all, ecowatt) };
        let hourly = async {
            let mut steady = SteadyClock::started(&*app.clock);
            for hour in 0_u64.. {
                if hour % 24 == 0
                    && let Err(error) = app.key_ages.warn().await
                {
                    tracing::error!(%error, "the ages of the keys are not known");
                }
                tokio::time::sleep(HOUR).await;
                renew().await;
                if let Some(seconds) = steady.stepped(&*app.clock) {
                    app.alerts.note("clock-stepped", &"server", &format!("{seconds} s within an hour"));
                }
            }
        };
        let sweeps = async {
            loop {
                if let Err(error) = app.rotations.sweep().await {
                    tracing::error!(%error, "root keys whose time is over are not deleted yet");
                }
                tokio::time::sleep(MINUTE).await;
            }
        };
        let listing = async {
            if let Err(error) = app.keyring.list().await {
                tracing::error!(%error, "devices are not listed, and asked for one by one");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = served => {}
            () = listing => {}
            () = hourly => {}
            () = sweeps => {}
            () = counters => {}
        }
        renew().await;
    }
}

impl Listening {
    async fn bind_mqtt(config: &Config, mqtt: &config::Mqtt) -> Result<Self, StartError> {
        let Tls { client_ca, revoked, .. } = &config.tls;
        let clients = Clients { client: mqtt.client, ca: client_ca.as_deref(), revoked };
        // Clients name MQTT in ALPN in different ways, or not at all.
        let tls = tls::acceptor(&config.tls, &clients, &[])?;
        let door = Door::new(Serves::Devices, mqtt.client, denied(&config.tls)?);
        let (listener, address) = bind(mqtt.listen).await?;
        tracing::info!(%address, project = mqtt.project, client = ?mqtt.client, "listening for MQTT");
        if mqtt.plain_events {
            tracing::warn!(
                %address,
                "[mqtt] plain_events is on: messages that are no sealed packets are stored as they come. They are not \
                 encrypted end to end, and one that is sent twice is stored twice"
            );
        }
        Ok(Self { listener, address, tls, door })
    }

    async fn bind_all(config: &Config) -> Result<Vec<Self>, StartError> {
        let Tls { client, client_ca, revoked, .. } = &config.tls;
        let denied = denied(&config.tls)?;
        let of_devices = |client| Clients { client, ca: client_ca.as_deref(), revoked };
        let mut found = vec![(config.listen, config.serves, of_devices(*client))];
        for Listener { listen, serves, client, client_ca, revoked } in &config.listeners {
            let own = client_ca.is_some() || !revoked.is_empty();
            let clients = match serves {
                // A certificate of a device opens nothing here.
                Serves::Administrators => Clients { client: *client, ca: client_ca.as_deref(), revoked },
                _ if own => return Err(StartError::ClientCa { address: *listen }),
                _ => of_devices(*client),
            };
            found.push((*listen, *serves, clients));
        }
        let mut listening = Vec::new();
        for (address, serves, clients) in found {
            if serves == Serves::Administrators && clients.client != Client::Off && clients.ca == client_ca.as_deref() {
                return Err(StartError::ClientCa { address });
            }
            let tls = tls::acceptor(&config.tls, &clients, tls::HTTP)?;
            let door = Door::new(serves, clients.client, Arc::clone(&denied));
            let (listener, address) = bind(address).await?;
            if !listening.is_empty() {
                tracing::info!(%address, ?serves, client = ?clients.client, "listening");
            }
            listening.push(Self { listener, address, tls, door });
        }
        Ok(listening)
    }
}

/// Devices whose certificates let nobody in.
fn denied(tls: &Tls) -> Result<Arc<HashSet<DeviceId>>, TlsError> {
    let names = tls.denied.iter().map(|name| name.parse().map_err(|_| TlsError::Denied { name: name.clone() }));
    names.collect::<Result<_, _>>().map(Arc::new)
}

impl Ecowatt {
    async fn bind(config: &config::Ecowatt, tls: &TlsAcceptor) -> Result<Self, StartError> {
        let unusable = |source| StartError::Bind { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let tls = (!config.allow_plaintext).then(|| tls.clone());
        let lacks = if tls.is_none() { "no TLS: " } else { "" };
        tracing::warn!(
            %address,
            "the INSECURE EcoWatt compatibility profile is on. {lacks}readings are not encrypted end to end; device \
             names, flags and the server's answers are not signed"
        );
        Ok(Self { listener, address, tls })
    }
}

/// Serves until SIGTERM or ctrl-c. `ready` is called once, when connections are taken: print it there.
///
/// # Errors
/// [`StartError`].
pub async fn run(config: &Config, ready: impl FnOnce(Ready)) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    let server = Server::bind(config).await?;
    tracing::info!(address = %server.address(), metrics = ?server.metrics_address(), "listening");
    ready(Ready { address: server.address(), mqtt: server.mqtt_address() });
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let unusable = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    Ok((listener, address))
}

/// Where a server takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Devices and administrators, over HTTPS.
    pub address: SocketAddr,
    /// Devices, over MQTT.
    pub mqtt: Option<SocketAddr>,
}

/// What a server process prints when it is ready: `{"listening":"127.0.0.1:8443"}`, with MQTT also
/// `"mqtt":"127.0.0.1:8883"`.
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"listening\":\"{}\"", self.address)?;
        if let Some(mqtt) = self.mqtt {
            write!(f, ",\"mqtt\":\"{mqtt}\"")?;
        }
        f.write_str("}")
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Keys or database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keys in use.
    #[error(transparent)]
    Keys(#[from] StoreError),
    /// The audit log is not the one that was signed.
    #[error(transparent)]
    AuditLog(#[from] KeptError),
    /// The statements about the firmware keys.
    #[error(transparent)]
    Trust(#[from] ChainBroken),
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Devices would be taken for administrators, or the other way round.
    #[error(
        "listener {address}: certificates of devices are issued by tls.client_ca and those of administrators, on a \
         listener that serves only these, by another client_ca of its own"
    )]
    ClientCa {
        /// Which listener.
        address: SocketAddr,
    },
    /// Everybody on the network could read the counters.
    #[error("[metrics] listen = \"{address}\" is not a loopback address: the counters are served without a token")]
    MetricsExposed {
        /// Which address.
        address: SocketAddr,
    },
    /// The signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

impl StartError {
    /// What to do next, if there is something to say.
    #[must_use]
    pub const fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Open(OpenError::Master(error)) => error.next_step(),
            _ => None,
        }
    }
}
