//! A part on a bus of embedded-hal, whose virtual time is moved by the driver's delays, and whose wires do as they are
//! told.

use cotter_chip::atecc::{Entropy, Model, SecureElement, Written};
use cotter_device::atecc::command::key::PublicKey;
use cotter_device::atecc::command::lock::Lock;
use cotter_device::atecc::command::zone::{WriteConfig, WriteSlot};
use cotter_device::atecc::identify::SerialNumber;
use cotter_device::atecc::{Error, Part, Procedure, Settings, asynchronous, blocking};
use cotter_formats::atecc::{ConfigZone, Slot};
use embedded_hal::i2c::{Error as BusError, ErrorKind, ErrorType, NoAcknowledgeSource, Operation};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The configuration of the board in the demo, an ATECC608A that Microchip's own tests had configured.
pub(crate) const DEMO: [u8; 128] = hex_literal::hex!(
    "012310ba0000600268e82c53ee013500c000a100af2fc4448720c4f48f0f0f0f9f8f8364c444c4640f0f0f0f0f0f0f0f"
    "0f0f0f0fffffffff00000000ffffffff00000000ff8403bc09697600000000000000000000000000ffff0e4000000000"
    "33001c0013001c003c003e001c0033003c003c003c003c003c003c003c001c00"
);

pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// The bus and what is on it. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Desk(Rc<RefCell<World>>);

pub(crate) struct World {
    element: SecureElement,
    now: Duration,
    log: Vec<Transaction>,
    count: usize,
    trouble: Option<Trouble>,
}

/// What happens to the transaction of that number.
pub(crate) type Trouble = Box<dyn FnMut(usize) -> Option<Fault>>;

/// What was on the wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    Written(u8, Vec<u8>),
    Read(u8, usize),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The address is not acknowledged, although the part would.
    Nack,
    /// Only so many bytes of a write arrive, and the host is told; of a read, the rest is ones.
    Cut(usize),
    /// It arrives, and the host is told that it did not.
    Denied,
    /// One bit is another, whichever way the bytes go.
    Flip(usize),
    /// A byte is lost and the others move up.
    Lose(usize),
    /// The controller says that the bus is broken; nothing arrives.
    Broken,
    /// Before it the host does nothing for so long that the watchdog barks.
    Stall,
    /// The power goes before it, for a moment.
    CutBefore,
    /// The power goes after it.
    CutAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    Address,
    Data,
    Broken,
}

impl BusError for WireError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Address => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Data => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::Broken => ErrorKind::Bus,
        }
    }
}

impl Desk {
    pub(crate) fn new(element: SecureElement) -> Self {
        let (log, count, trouble) = (Vec::new(), 0, None);
        Self(Rc::new(RefCell::new(World { element, now: Duration::ZERO, log, count, trouble })))
    }

    pub(crate) fn trouble(&self, trouble: impl FnMut(usize) -> Option<Fault> + 'static) {
        let mut world = self.0.borrow_mut();
        world.count = 0;
        world.trouble = Some(Box::new(trouble));
    }

    /// That fault at that transaction, counted from now.
    pub(crate) fn fault_at(&self, number: usize, fault: Fault) {
        self.trouble(move |at| (at == number).then_some(fault));
    }

    pub(crate) fn calm(&self) {
        let mut world = self.0.borrow_mut();
        world.count = 0;
        world.trouble = None;
    }

    /// Transactions since trouble or calm began.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().count
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.borrow().now
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.borrow_mut().now += time;
    }

    pub(crate) fn config(&self) -> ConfigZone {
        self.0.borrow().element.config().clone()
    }

    pub(crate) fn state(&self) -> Vec<u8> {
        self.0.borrow().element.to_bytes().to_vec()
    }

    pub(crate) fn take_log(&self) -> Vec<Transaction> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }

    pub(crate) fn set_power(&self, is_on: bool) {
        self.0.borrow_mut().element.set_power(is_on);
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut SecureElement, Duration) -> T) -> T {
        let mut world = self.0.borrow_mut();
        let now = world.now;
        act(&mut world.element, now)
    }
}

impl World {
    /// From its stored memory.
    fn restart(&mut self) {
        let seed = 1_000 + self.count as u64;
        self.element = SecureElement::from_bytes(&self.element.to_bytes(), Entropy::known(seed)).unwrap();
    }

    fn operate(&mut self, address: u8, operation: &mut Operation<'_>) -> Result<(), WireError> {
        let fault = self.trouble.as_mut().and_then(|trouble| trouble(self.count));
        self.count += 1;
        match fault {
            Some(Fault::Nack) => return Err(WireError::Address),
            Some(Fault::Broken) => return Err(WireError::Broken),
            Some(Fault::Stall) => self.now += Duration::from_millis(11_000),
            Some(Fault::CutBefore) => self.restart(),
            _ => {}
        }
        let result = match operation {
            Operation::Write(bytes) => {
                let mut bytes = bytes.to_vec();
                self.log.push(Transaction::Written(address, bytes.clone()));
                let sent = bytes.len();
                damage(&mut bytes, fault);
                self.now += Duration::from_micros(90 * (1 + bytes.len() as u64));
                match self.element.write(self.now, address, &bytes) {
                    Written::Nack => Err(WireError::Address),
                    Written::Acknowledged(taken) if taken < sent.min(bytes.len()) => Err(WireError::Data),
                    Written::Acknowledged(_) if matches!(fault, Some(Fault::Cut(_) | Fault::Denied)) => {
                        Err(WireError::Data)
                    }
                    Written::Acknowledged(_) => Ok(()),
                }
            }
            Operation::Read(into) => {
                self.log.push(Transaction::Read(address, into.len()));
                self.now += Duration::from_micros(90 * (1 + into.len() as u64));
                let len = into.len();
                let answer = self.element.read(self.now, address, len);
                answer.ok_or(WireError::Address).and_then(|mut bytes| {
                    damage(&mut bytes, fault);
                    bytes.resize(len, 0xff);
                    into.copy_from_slice(&bytes);
                    if fault == Some(Fault::Denied) { Err(WireError::Broken) } else { Ok(()) }
                })
            }
        };
        if fault == Some(Fault::CutAfter) {
            self.restart();
        }
        result
    }
}

fn damage(bytes: &mut Vec<u8>, fault: Option<Fault>) {
    let len = bytes.len();
    match fault {
        Some(Fault::Cut(at)) => bytes.truncate(at % len.max(1)),
        Some(Fault::Flip(bit)) if len > 0 => bytes[bit / 8 % len] ^= 1 << (bit % 8),
        Some(Fault::Lose(at)) if len > 0 => {
            bytes.remove(at % len);
        }
        _ => {}
    }
}

impl ErrorType for Desk {
    type Error = WireError;
}

impl embedded_hal::i2c::I2c for Desk {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), WireError> {
        let mut world = self.0.borrow_mut();
        operations.iter_mut().try_for_each(|operation| world.operate(address, operation))
    }
}

impl embedded_hal::delay::DelayNs for Desk {
    fn delay_ns(&mut self, nanoseconds: u32) {
        self.pass(Duration::from_nanos(u64::from(nanoseconds)));
    }
}

impl embedded_hal_async::i2c::I2c for Desk {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), WireError> {
        Once(false).await;
        embedded_hal::i2c::I2c::transaction(self, address, operations)
    }
}

impl embedded_hal_async::delay::DelayNs for Desk {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        Once(false).await;
        self.pass(Duration::from_nanos(u64::from(nanoseconds)));
    }
}

/// Pending once, as an interrupt would have it.
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Either driver.
pub(crate) enum Driver {
    Blocking(blocking::Element<Desk, Desk>),
    Asynchronous(asynchronous::Element<Desk, Desk>),
}

/// Which.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Blocking,
    Asynchronous,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Blocking, Kind::Asynchronous];

impl Driver {
    pub(crate) fn new(kind: Kind, desk: &Desk) -> Self {
        Self::with_settings(kind, desk, Settings::default())
    }

    pub(crate) fn with_settings(kind: Kind, desk: &Desk, settings: Settings) -> Self {
        let (bus, delay) = (desk.clone(), desk.clone());
        match kind {
            Kind::Blocking => Self::Blocking(blocking::Element::with_settings(bus, delay, settings)),
            Kind::Asynchronous => Self::Asynchronous(asynchronous::Element::with_settings(bus, delay, settings)),
        }
    }

    pub(crate) fn run<P: Procedure>(&mut self, procedure: P) -> Result<P::Output, Error> {
        match self {
            Self::Blocking(element) => element.run(procedure),
            Self::Asynchronous(element) => block_on(element.run(procedure)),
        }
    }

    pub(crate) fn identify(&mut self) -> Result<Part, Error> {
        match self {
            Self::Blocking(element) => element.identify(),
            Self::Asynchronous(element) => block_on(element.identify()),
        }
    }

    pub(crate) fn wake(&mut self) -> Result<(), Error> {
        match self {
            Self::Blocking(element) => element.wake(),
            Self::Asynchronous(element) => block_on(element.wake()),
        }
    }

    pub(crate) fn sleep(&mut self) -> Result<(), Error> {
        match self {
            Self::Blocking(element) => element.sleep(),
            Self::Asynchronous(element) => block_on(element.sleep()),
        }
    }
}

/// A blank part and its driver.
pub(crate) fn blank(kind: Kind) -> (Desk, Driver) {
    let element = SecureElement::fresh(Model::Atecc608A, [0x10, 0xba, 0x68, 0xe8, 0x2c, 0x53], Entropy::known(1));
    let desk = Desk::new(element);
    let driver = Driver::new(kind, &desk);
    (desk, driver)
}

/// A part as it was.
pub(crate) fn restored(kind: Kind, state: &[u8]) -> (Desk, Driver) {
    let desk = Desk::new(SecureElement::from_bytes(state, Entropy::known(7)).unwrap());
    let driver = Driver::new(kind, &desk);
    (desk, driver)
}

/// A part with that configuration, configured and locked by the driver; `prepare` is what happens between the locks.
pub(crate) fn configured(
    kind: Kind,
    config: &[u8; 128],
    prepare: impl FnOnce(&mut Driver, SerialNumber),
) -> (Desk, Driver) {
    let (desk, mut driver) = blank(kind);
    driver.run(WriteConfig::new(&ConfigZone(*config))).unwrap();
    let zone = driver.run(cotter_device::atecc::command::zone::ReadConfig::default()).unwrap();
    assert_eq!(zone.0[16..84], config[16..84]);
    assert_eq!(zone.0[88..], config[88..]);
    driver.run(Lock::config(&zone)).unwrap();
    prepare(&mut driver, SerialNumber(zone.serial_number()));
    driver.run(Lock::data_unchecked()).unwrap();
    (desk, driver)
}

pub(crate) fn write_key(driver: &mut Driver, number: u16, byte: u8) {
    driver.run(WriteSlot::new(slot(number), &[byte; 32])).unwrap();
}

pub(crate) fn write_public_key(driver: &mut Driver, number: u16, key: &PublicKey) {
    driver.run(WriteSlot::new(slot(number), &key.to_slot())).unwrap();
}
