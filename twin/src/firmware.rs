//! The application while it runs: the device code, as it ships, on the virtual chip's flash and a real network.

use crate::net::{Ask, Client, NetError, Reply};
use crate::random::HostRandom;
use cotter_chip::board::VirtualChip;
use cotter_chip::crypt::TransparentFlash;
use cotter_chip::flash::{Flash, FlashError};
use cotter_chip::report::{AppSlot, Booted};
use cotter_device::identity::{self, Identity, IdentityError};
use cotter_device::label::{ImageLabel, LabelError};
use cotter_device::nonces::NonceCounter;
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::ota::{Action, Event, Refusal, Request, Settings, Storage, UpdateError, Updater};
use cotter_device::platform::{Region, RegionError};
use cotter_device::recovery::RenewalError;
use cotter_device::rotation::{OfferError, Rotation, SwitchError};
use cotter_device::self_test::Promise;
use cotter_device::session::{OpenError, Opening, Session};
use cotter_device::slots::{SlotError, SlotIndex, Slots, UnknownSlot};
use cotter_device::telemetry::{Delivery, Telemetry, TelemetryError};
use cotter_device::trust::{self, FollowError};
use cotter_formats::efuse::{esp32c3, unary};
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::keys::{KEYS_PARTITION_SIZE, KeysError};
use cotter_formats::partition::{self, PartitionError, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use cotter_wire::api;
use cotter_wire::content::CHUNK;
use cotter_wire::ids::{Nonce, SecureVersion};
use cotter_wire::manifest::MAX_ENVELOPE;
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::reading::{Reading, ReadingError};
use cotter_wire::recovery::RecoveryError;
use cotter_wire::registers::RegisterMap;
use cotter_wire::rotation::RotationError;
use cotter_wire::session::{self, MAX_HEADER, MAX_MESSAGE, SessionError};
use cotter_wire::status::StatusReport;
use cotter_wire::trust::{TrustError, TrustNumber};
use embedded_storage::nor_flash::ReadNorFlash;
use hyper::Method;
use std::time::Instant;
use zeroize::Zeroizing;

/// Where the trust anchor lies in NVS, namespace `cotter`: one certificate, DER.
pub const TRUST_ANCHOR: Key = Key::literal("ca");

/// The encrypted key-value store of a running device.
pub type Store = Nvs<Flash>;

/// What the application reads before anything else; it outlives the [`Firmware`] that borrows it.
pub struct Start {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) trust_anchor: Vec<u8>,
    slots: Slots,
    running: SlotIndex,
    promise: Promise,
    registers: Option<RegisterMap>,
}

impl Start {
    /// Mounts NVS with the keys from `nvs_keys`, and reads identity, slots and the running image's label.
    ///
    /// # Errors
    /// [`FirmwareError`]: such a device has no application worth the name.
    pub fn read(board: &VirtualChip, booted: &Booted) -> Result<Self, FirmwareError> {
        let mut flash = board.transparent_flash();
        let mut raw_table = [0; TABLE_LEN];
        flash.read(partition::DEFAULT_OFFSET.0, &mut raw_table)?;
        let table = PartitionTable::parse(&raw_table)?;
        let find = |subtype| table.find_type(PartitionType::DATA, subtype).ok_or(FirmwareError::NoPartition);
        let (nvs, keys) = (find(Subtype::DATA_NVS)?, find(Subtype::DATA_NVS_KEYS)?);
        // The keys are read through flash encryption; the store itself is not, it has an encryption of its own.
        let mut raw_keys = Zeroizing::new([0; KEYS_PARTITION_SIZE]);
        flash.read(keys.offset.0, raw_keys.as_mut_slice())?;
        let region = Region::new(board.raw_flash(), nvs.offset, nvs.size).map_err(FirmwareError::Region)?;
        let mut store = Nvs::mount(region, Some(NvsKeys::parse(raw_keys.as_slice())?))?;
        let identity = Identity::load(&mut store)?;
        let mut trust_anchor = vec![0; cotter_device::nvs::MAX_BLOB];
        let len = store.blob(&identity::NAMESPACE, &TRUST_ANCHOR, &mut trust_anchor)?;
        trust_anchor.truncate(len.ok_or(FirmwareError::NoTrustAnchor)?);
        let AppSlot::Ota(index) = booted.slot else { return Err(FirmwareError::NotAnOtaSlot) };
        let running = SlotIndex(index);
        let slots = Slots::of(&table, &mut flash)?.with_running(running)?;
        let label = ImageLabel::read(&mut flash, slots.running())?;
        let promise = Promise { version: label.version, secure_version: label.secure_version };
        Ok(Self { identity, store, trust_anchor, slots, running, promise, registers: label.registers.ok() })
    }
}

/// The running application.
pub struct Firmware<'a> {
    identity: &'a Identity,
    store: &'a mut Store,
    client: &'a mut Client,
    flash: TransparentFlash,
    telemetry: Telemetry<'a>,
    updater: Updater<'a>,
    registers: Option<RegisterMap>,
    promise: Promise,
    session: Option<Session>,
    started: Instant,
    random: HostRandom,
    chunks: u32,
    trouble: Option<NetError>,
}

/// What came of one packet.
#[derive(Debug)]
pub struct Upload {
    /// Its number.
    pub nonce: Nonce,
    /// Its bytes, as sent.
    pub packet: Vec<u8>,
    /// HTTP status of the answer.
    pub status: u16,
    /// What the answer means.
    pub delivery: Delivery,
}

/// How a round of the updater ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateEnd {
    /// Nothing more to do until the next wake.
    Sleeping,
    /// The slot is marked, or given up: the chip must be reset now.
    Reboot,
}

/// What came of a trust statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// There is none, or the server cannot be asked.
    UpToDate,
    /// This number counts from the next reset on.
    Followed(TrustNumber),
    /// Not for this device, or not signed as it must be.
    Refused(TrustError),
}

/// What came of asking for a new root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewing {
    /// There is none, or the server cannot be asked.
    UpToDate,
    /// One is stored, and is confirmed after the next reset.
    Offered,
    /// Not the server's, or not for this ask.
    Refused(RotationError),
}

impl<'a> Firmware<'a> {
    /// Starts telemetry (which counts this boot) and the updater.
    pub(crate) fn start(
        board: &VirtualChip,
        start: &'a mut Start,
        client: &'a mut Client,
    ) -> Result<Self, FirmwareError> {
        let Start { identity, store, slots, running, promise, registers, .. } = start;
        let telemetry = Telemetry::start(identity, NonceCounter::new(Nonce(0)), store)?;
        let burned = board.efuses().image().map_err(|_| FlashError::PowerLost)?.value(&esp32c3::SECURE_VERSION);
        let settings = Settings {
            identity,
            chip: board.chip(),
            running: *running,
            fuse_floor: SecureVersion(unary::count(burned)),
        };
        let updater = Updater::new(settings, slots.clone())?;
        Ok(Self {
            identity,
            store,
            client,
            flash: board.transparent_flash(),
            telemetry,
            updater,
            registers: *registers,
            promise: *promise,
            session: None,
            started: Instant::now(),
            random: HostRandom::default(),
            chunks: 0,
            trouble: None,
        })
    }

    /// Which version runs.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        self.promise
    }

    /// Why the updater refused something last, since the boot.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.updater.refusal()
    }

    /// What was wrong with the network when the updater gave up last, since the boot.
    #[must_use]
    pub const fn trouble(&self) -> Option<&NetError> {
        self.trouble.as_ref()
    }

    /// How many chunks were downloaded since the boot.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// The network, for those who stand in its way.
    pub const fn client(&mut self) -> &mut Client {
        self.client
    }

    /// Reads all registers once and seals the reading, without sending it.
    ///
    /// # Errors
    /// [`FirmwareError`]; a nonce may have been consumed.
    pub fn seal(&mut self) -> Result<(Nonce, Vec<u8>), FirmwareError> {
        let mut out = [0; MAX_PACKET];
        let reading = self.read_registers()?;
        let sealed = self.telemetry.seal(&reading, self.store, &mut self.random, &mut out)?;
        Ok((sealed.nonce(), sealed.packet().to_vec()))
    }

    /// Reads, seals and uploads, until the server has it or refuses it (at most three times the same bytes).
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub async fn upload(&mut self) -> Result<Upload, FirmwareError> {
        let mut out = [0; MAX_PACKET];
        let reading = self.read_registers()?;
        let sealed = self.telemetry.seal(&reading, self.store, &mut self.random, &mut out)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let reply = post(self.client, &api::telemetry(&self.identity.device), sealed.packet()).await;
            let (status, delivery) = match reply {
                Ok(reply) => (reply.status, sealed.judge(&reply.body)),
                // What is on its way to the wrong server is not sent again.
                Err(refused @ NetError::Certificate(_)) => return Err(refused.into()),
                Err(error) if attempts == 3 => return Err(error.into()),
                Err(_) => continue,
            };
            if delivery != Delivery::Unknown || attempts == 3 {
                return Ok(Upload { nonce: sealed.nonce(), packet: sealed.packet().to_vec(), status, delivery });
            }
        }
    }

    /// Sends bytes as a packet, whoever made them: what an attacker on the network can do.
    ///
    /// # Errors
    /// [`FirmwareError::Net`].
    pub async fn send_raw(&mut self, packet: &[u8]) -> Result<Reply, FirmwareError> {
        Ok(post(self.client, &api::telemetry(&self.identity.device), packet).await?)
    }

    /// The updater's first step after a boot: judges an image on trial, reports what is to be reported.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub async fn after_boot(&mut self) -> Result<UpdateEnd, FirmwareError> {
        let action = self.step(Event::Booted)?;
        self.perform(action).await
    }

    /// Polls, and does all that follows, until there is nothing to do or the chip must be reset.
    ///
    /// # Errors
    /// [`FirmwareError`]; after a power cut the rest happens in another life.
    pub async fn update(&mut self) -> Result<UpdateEnd, FirmwareError> {
        let action = self.step(Event::Wake)?;
        self.perform(action).await
    }

    /// Asks whether the keys have changed that its firmware is signed with, and follows one statement about that. A reset
    /// then, and again, until there is no more. What the server sends never leads to an error: who signed nothing is not
    /// followed.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub async fn follow(&mut self) -> Result<Following, FirmwareError> {
        let reply = match self.signed("GET", &trust::path(self.identity), &[]).await {
            Err(FirmwareError::Net(error)) => {
                self.trouble = Some(error);
                return Ok(Following::UpToDate);
            }
            reply => reply?,
        };
        if reply.status != 200 {
            return Ok(Following::UpToDate);
        }
        let statement = reply.body.get(..trust::READ_LIMIT).unwrap_or(&reply.body);
        match trust::follow(self.identity, statement, self.store) {
            Ok(number) => Ok(Following::Followed(number)),
            Err(FollowError::Trust(refusal)) => Ok(Following::Refused(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for a new root key, and stores one that is offered. A reset then, which confirms it. What the server sends never
    /// leads to an error.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub async fn renew_key(&mut self) -> Result<Renewing, FirmwareError> {
        let rotation = Rotation::begin(self.identity, &mut self.random);
        let reply = match self.signed("GET", &rotation.path(), &[]).await {
            Err(FirmwareError::Net(error)) => {
                self.trouble = Some(error);
                return Ok(Renewing::UpToDate);
            }
            reply => reply?,
        };
        if reply.status != 200 {
            return Ok(Renewing::UpToDate);
        }
        match rotation.offered(&reply.body, self.store) {
            Ok(()) => Ok(Renewing::Offered),
            Err(OfferError::Rotation(refusal)) => Ok(Renewing::Refused(refusal)),
            Err(OfferError::Store(error)) => Err(error.into()),
        }
    }

    fn read_registers(&self) -> Result<Reading, ReadingError> {
        let uptime = self.uptime();
        let values = self.registers.as_ref().map(|map| measure(map, uptime)).unwrap_or_default();
        self.telemetry.reading(uptime, self.promise, values)
    }

    async fn perform(&mut self, mut action: Action) -> Result<UpdateEnd, FirmwareError> {
        loop {
            let request = match action {
                Action::Sleep => return Ok(UpdateEnd::Sleeping),
                Action::Reboot => return Ok(UpdateEnd::Reboot),
                Action::Request(request) => request,
            };
            let reply = self.authenticated(&request).await;
            let now = self.session.as_ref().map(|session| session.now(self.uptime()));
            action = match (reply, now, &request) {
                (Ok(Reply { status: 204, .. }), _, Request::Poll { .. }) => self.step(Event::NoOffer)?,
                (Ok(Reply { status: 200, body }), Some(now), Request::Poll { .. }) => {
                    let envelope = body.get(..MAX_ENVELOPE + 1).unwrap_or(&body);
                    self.step(Event::Offer { envelope, now })?
                }
                (Ok(Reply { status: 200, mut body }), Some(now), Request::Chunk { index, .. }) => {
                    self.chunks += 1;
                    body.truncate(CHUNK + 1);
                    self.step(Event::Chunk { index: *index, bytes: &mut body, now })?
                }
                (Ok(Reply { status: 200 | 204, .. }), _, Request::Status(_)) => self.step(Event::Reported)?,
                (Err(FirmwareError::Net(error)), ..) => {
                    self.trouble = Some(error);
                    self.step(Event::ConnectionLost)?
                }
                (Ok(Reply { status, .. }), ..) => {
                    self.trouble = Some(NetError::Status { status });
                    self.step(Event::ConnectionLost)?
                }
                (Err(error), ..) => return Err(error),
            };
        }
    }

    async fn authenticated(&mut self, request: &Request) -> Result<Reply, FirmwareError> {
        let mut body = [0; StatusReport::MAX_LEN];
        let body = request.body(&mut body);
        self.signed(request.method(), &request.path(&self.identity.device), body).await
    }

    /// Sends a signed request; greets first if there is no session, and once more if the server forgot it.
    async fn signed(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Reply, FirmwareError> {
        for last in [false, true] {
            let uptime = self.uptime();
            if self.session.as_ref().is_none_or(|session| session.is_stale(uptime)) {
                self.greet().await?;
            }
            let session = self.session.as_mut().ok_or(FirmwareError::NoSession)?;
            let mut header = [0; MAX_HEADER];
            let signed = session::Request { method, path, body };
            let header = session.sign(&signed, &mut header)?.to_owned();
            let ask = Ask {
                method: if method == "POST" { Method::POST } else { Method::GET },
                path: path.to_owned(),
                headers: vec![(api::SESSION_HEADER, header)],
                body: (!body.is_empty()).then(|| (JSON, body.to_vec())),
            };
            let reply = self.client.send(&ask).await?;
            if reply.status != 401 || last {
                return Ok(reply);
            }
            self.session = None;
        }
        Err(FirmwareError::NoSession)
    }

    async fn greet(&mut self) -> Result<(), FirmwareError> {
        let opening = Opening::new(self.identity, &mut self.random);
        let mut hello = [0; MAX_MESSAGE];
        let reply = post(self.client, &api::session(&self.identity.device), opening.hello(&mut hello)).await?;
        match reply.status {
            200 => {}
            401 => return Err(FirmwareError::Unknown),
            _ => return Err(FirmwareError::NoSession),
        }
        let uptime = self.uptime();
        self.session = Some(opening.accept(&reply.body, uptime, self.store)?);
        Ok(())
    }

    fn step(&mut self, event: Event<'_>) -> Result<Action, FirmwareError> {
        let mut storage = Storage { flash: &mut self.flash, nvs: self.store };
        Ok(self.updater.step(&mut storage, event)?)
    }

    fn uptime(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

const JSON: &str = "application/json";

pub(crate) async fn post(client: &mut Client, path: &str, body: &[u8]) -> Result<Reply, NetError> {
    let body = Some((JSON, body.to_vec()));
    client.send(&Ask { method: Method::POST, path: path.to_owned(), headers: Vec::new(), body }).await
}

/// A plausible solar inverter: each register of the image's map near a typical value, moving a little with time.
fn measure(map: &RegisterMap, uptime: u32) -> Vec<(u8, u16)> {
    const TYPICAL: [u16; 10] = [2300, 170, 5000, 3400, 3380, 85, 84, 315, 80, 3910];
    let drift = u16::try_from(uptime % 7).unwrap_or(0);
    map.registers()
        .iter()
        .map(|register| (register.id, TYPICAL.get(usize::from(register.id)).copied().unwrap_or(0) + drift))
        .collect()
}

/// Why the application cannot go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each wraps the error of the part that it names")]
pub enum FirmwareError {
    #[error("flash: {0}")]
    Flash(#[from] FlashError),
    #[error(transparent)]
    Table(#[from] PartitionError),
    #[error("the partition table lacks nvs or nvs_keys")]
    NoPartition,
    #[error("nvs: {0}")]
    Region(RegionError<FlashError>),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] NvsError<FlashError>),
    #[error(transparent)]
    Identity(#[from] IdentityError<FlashError>),
    #[error("no trust anchor in NVS: a device without one does not connect")]
    NoTrustAnchor,
    #[error("the application was not booted from an OTA slot")]
    NotAnOtaSlot,
    #[error(transparent)]
    Slots(#[from] SlotError<FlashError>),
    #[error(transparent)]
    Slot(#[from] UnknownSlot),
    #[error(transparent)]
    Label(#[from] LabelError<FlashError>),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError<FlashError>),
    #[error(transparent)]
    Reading(#[from] ReadingError),
    #[error(transparent)]
    Update(#[from] UpdateError<FlashError, FlashError>),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Open(#[from] OpenError<FlashError>),
    #[error(transparent)]
    Follow(#[from] FollowError<FlashError>),
    #[error(transparent)]
    Switch(#[from] SwitchError<FlashError>),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Renewal(#[from] RenewalError<FlashError>),
    #[error("the server does not know this device by its keys")]
    Unknown,
    #[error("the server opens no session")]
    NoSession,
}
