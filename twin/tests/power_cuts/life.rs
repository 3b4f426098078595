//! One life of the device, from power-on until it sleeps, resets itself or loses power: the device code as it ships, on
//! the board's flash.

use crate::service::{Answer, Service};
use crate::watched::Watched;
use cotter_chip::board::VirtualChip;
use cotter_chip::flash::Flash;
use cotter_chip::report::{AppSlot, Booted, RefusalCode};
use cotter_device::identity::Identity;
use cotter_device::nonces::NonceCounter;
use cotter_device::nvs::Nvs;
use cotter_device::ota::{Action, Event, Request, Settings, Storage, Updater};
use cotter_device::platform::Region;
use cotter_device::self_test::Promise;
use cotter_device::session::{Opening, Session};
use cotter_device::slots::{SlotIndex, Slots};
use cotter_device::telemetry::Telemetry;
use cotter_formats::addr::FlashAddr;
use cotter_formats::efuse::{esp32c3, unary};
use cotter_formats::nvs::NvsKeys;
use cotter_formats::nvs::keys::KEYS_PARTITION_SIZE;
use cotter_formats::otadata::OtaState;
use cotter_formats::partition::{self, PartitionTable, PartitionType, Subtype, TABLE_LEN};
use cotter_twin::random::HostRandom;
use cotter_wire::ids::{Nonce, SecureVersion};
use cotter_wire::packet::MAX_PACKET;
use cotter_wire::session::{self, MAX_HEADER, MAX_MESSAGE, ServerSession};
use cotter_wire::status::{Outcome, StatusReport};
use std::fmt::Debug;
use std::ops::Range;

/// How a life ended.
#[derive(Debug)]
pub(crate) enum End {
    PowerLost,
    Reboot,
    Asleep(Running),
}

/// What ran in a life that ended in sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) version: String,
    /// In otadata, as it was when the image was booted.
    pub(crate) state: Option<OtaState>,
    pub(crate) secure_version: u32,
    /// The anti-rollback floor in the eFuses.
    pub(crate) fuses: u32,
}

/// What a device does in each of its lives.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// How many readings it seals when it is up, and again before it sleeps.
    pub(crate) packets: usize,
    /// How often it polls before it sleeps.
    pub(crate) polls: usize,
    /// The version that resets itself before it has done anything.
    pub(crate) crashes: Option<&'static str>,
}

/// Switches the board on and lives. `image_data` collects the operations that wrote into an application slot.
pub(crate) fn live(
    board: &VirtualChip,
    service: &mut Service,
    habits: Habits,
    image_data: &mut Vec<Range<u64>>,
) -> End {
    let report = board.power_on();
    let Some(booted) = report.booted() else {
        assert_eq!(report.refusal(), Some(RefusalCode::PowerLost), "nothing boots: {:#?}", report.lines);
        return End::PowerLost;
    };
    judge(board, service, booted);
    if habits.crashes == Some(booted.version.as_str()) {
        return End::Reboot;
    }
    let mut application = Application { board, service, habits };
    application.run(booted, &mut Watched::new(board, image_data)).unwrap_or(End::PowerLost)
}

/// What boots is verified, genuine to the last byte of its signature, and the failing release is never confirmed.
fn judge(board: &VirtualChip, service: &Service, booted: &Booted) {
    assert!(booted.is_verified);
    let image = service.product.image(&booted.version);
    let mut stored = vec![0; image.len()];
    board.transparent_flash().read_at(booted.offset, &mut stored).unwrap();
    assert!(stored == image, "{} in {} is not what was signed", booted.version, booted.slot);
    let expected: &[OtaState] = match booted.version.as_str() {
        "1.0.0" => &[OtaState::VALID],
        "1.1.0" => &[OtaState::PENDING_VERIFY, OtaState::VALID],
        _ => &[OtaState::PENDING_VERIFY],
    };
    let state = booted.state.expect("otadata selects what boots");
    assert!(expected.contains(&state), "{} boots with {state:?}", booted.version);
    assert!(fuses(board) <= booted.secure_version, "burned before it was confirmed");
}

/// The server is told of an installation by the installed image, and of a rollback by the one that is back.
fn check_report(request: &Request, running: &Running) {
    let Request::Status(report) = request else { return };
    let is_running = report.version == running.version.parse().unwrap();
    assert_eq!(is_running, report.outcome == Outcome::Installed, "{report:?} from {running:?}");
}

fn fuses(board: &VirtualChip) -> u32 {
    unary::count(board.efuses().image().unwrap().value(&esp32c3::SECURE_VERSION))
}

struct Application<'a> {
    board: &'a VirtualChip,
    service: &'a mut Service,
    habits: Habits,
}

impl Application<'_> {
    /// `None`: the power went.
    fn run(&mut self, booted: &Booted, flash: &mut Watched<'_>) -> Option<End> {
        let running = Running {
            version: booted.version.clone(),
            state: booted.state,
            secure_version: booted.secure_version,
            fuses: fuses(self.board),
        };
        let AppSlot::Ota(slot) = booted.slot else { panic!("{}", booted.slot) };
        let board = self.board;
        let mut store = self.powered(mount(board))?;
        let identity = self.powered(Identity::load(&mut store))?;
        let slots = self.powered(Slots::read(flash, partition::DEFAULT_OFFSET, &mut [0; TABLE_LEN]))?;
        let settings = Settings {
            identity: &identity,
            chip: board.chip(),
            running: SlotIndex(slot),
            fuse_floor: SecureVersion(running.fuses),
        };
        let mut updater = Updater::new(settings, slots).unwrap();
        let telemetry = self.powered(Telemetry::start(&identity, NonceCounter::new(Nonce(0)), &mut store))?;
        let firmware = Promise {
            version: running.version.parse().unwrap(),
            secure_version: SecureVersion(running.secure_version),
        };

        self.seal(&telemetry, firmware, &mut store)?;
        let mut link = None;
        for poll in 0..=self.habits.polls {
            let event = if poll == 0 { Event::Booted } else { Event::Wake };
            let storage = &mut Storage { flash, nvs: &mut store };
            let mut step = updater.step(storage, event);
            loop {
                let request = match self.powered(step)? {
                    Action::Sleep => break,
                    Action::Reboot => return Some(End::Reboot),
                    Action::Request(request) => request,
                };
                check_report(&request, &running);
                if link.is_none() {
                    link = Some(self.greet(&identity, storage.nvs)?);
                }
                let (session, peer) = link.as_mut().expect("just greeted");
                let now = session.now(0);
                let mut body = match self.exchange(&identity, session, peer, &request) {
                    Answer::NoOffer => {
                        step = updater.step(storage, Event::NoOffer);
                        continue;
                    }
                    Answer::Reported => {
                        step = updater.step(storage, Event::Reported);
                        continue;
                    }
                    Answer::Offer(body) | Answer::Chunk(body) => body,
                };
                step = match request {
                    Request::Chunk { index, .. } => {
                        updater.step(storage, Event::Chunk { index, bytes: &mut body, now })
                    }
                    _ => updater.step(storage, Event::Offer { envelope: &body, now }),
                };
            }
        }
        self.seal(&telemetry, firmware, &mut store)?;
        Some(End::Asleep(running))
    }

    /// Every packet of which a byte exists reaches the server.
    fn seal(&mut self, telemetry: &Telemetry<'_>, firmware: Promise, store: &mut Nvs<Flash>) -> Option<()> {
        for value in 0..self.habits.packets {
            let values = [(0, 2300), (9, u16::try_from(value).unwrap())];
            let reading = telemetry.reading(0, firmware, values).unwrap();
            let mut out = [0; MAX_PACKET];
            let sealed = telemetry.seal(&reading, store, &mut HostRandom::default(), &mut out);
            self.service.receive(self.powered(sealed)?.packet());
        }
        Some(())
    }

    fn greet(&mut self, identity: &Identity, store: &mut Nvs<Flash>) -> Option<(Session, ServerSession)> {
        let opening = Opening::new(identity, &mut HostRandom::default());
        let (welcome, peer) = self.service.welcome(opening.hello(&mut [0; MAX_MESSAGE]));
        Some((self.powered(opening.accept(&welcome, 0, store))?, peer))
    }

    fn exchange(
        &mut self,
        identity: &Identity,
        session: &mut Session,
        peer: &mut ServerSession,
        request: &Request,
    ) -> Answer {
        let (path, mut body) = (request.path(&identity.device), [0; StatusReport::MAX_LEN]);
        let signed = session::Request { method: request.method(), path: &path, body: request.body(&mut body) };
        let mut header = [0; MAX_HEADER];
        let header = session.sign(&signed, &mut header).unwrap();
        self.service.answer(peer, header, &signed, request)
    }

    /// Without power everything fails; with it nothing may.
    fn powered<T, E: Debug>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.board.fault().is_lost(), "{error:?} although there is power");
                None
            }
        }
    }
}

/// The encrypted store, with the keys from the partition that only this chip can read.
pub(crate) fn mount(board: &VirtualChip) -> Result<Nvs<Flash>, impl Debug> {
    let flash = board.transparent_flash();
    let (mut table, mut keys) = ([0; TABLE_LEN], [0; KEYS_PARTITION_SIZE]);
    flash.read_at(partition::DEFAULT_OFFSET, &mut table).unwrap();
    let table = PartitionTable::parse(&table).unwrap();
    let place =
        |subtype| table.find_type(PartitionType::DATA, subtype).map(|found| (found.offset, found.size)).unwrap();
    let (at, _): (FlashAddr, _) = place(Subtype::DATA_NVS_KEYS);
    flash.read_at(at, &mut keys).unwrap();
    let (at, len) = place(Subtype::DATA_NVS);
    Nvs::mount(Region::new(board.raw_flash(), at, len).unwrap(), Some(NvsKeys::parse(&keys).unwrap()))
}
