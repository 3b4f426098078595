//! A partition on virtual flash, and the values a test expects in it.

use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::platform::Region;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::{NvsKeys, Value};
use cotter_formats::secret::Secret;
use std::collections::BTreeMap;

pub(crate) type Store = Nvs<Flash>;
pub(crate) type Outcome<T> = Result<T, NvsError<FlashError>>;
/// Key to value, all in one namespace.
pub(crate) type Values = BTreeMap<String, Value<'static>>;

pub(crate) const NAMESPACE: Key = Key::literal("bench");

pub(crate) fn key(text: &str) -> Key {
    text.parse().unwrap()
}

/// Fixed test keys.
pub(crate) fn keys() -> NvsKeys {
    NvsKeys::new(Secret::filled_by(|keys| keys.iter_mut().zip(7..).for_each(|(byte, value)| *byte = value)))
}

/// The whole of a flash part as an NVS partition.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) content: Vec<u8>,
    pub(crate) encrypted: bool,
}

impl Bench {
    pub(crate) fn erased(pages: usize, encrypted: bool) -> Self {
        Self { content: vec![0xFF; pages * 4096], encrypted }
    }

    pub(crate) fn keys(&self) -> Option<NvsKeys> {
        self.encrypted.then(keys)
    }

    /// A part with this content; `seed` decides how its operations tear.
    pub(crate) fn flash(&self, seed: u64) -> Flash {
        Flash::with_content(self.content.clone(), Fault::new(seed)).unwrap()
    }

    pub(crate) fn mount_on(&self, flash: &Flash) -> Outcome<Store> {
        let region = Region::new(flash.clone(), FlashAddr(0), FlashLen(u32::try_from(self.content.len()).unwrap()));
        Nvs::mount(region.unwrap(), self.keys())
    }

    pub(crate) fn mount(&self) -> Store {
        self.mount_on(&self.flash(0)).unwrap()
    }

    /// Runs `change` on the mounted store and keeps what is on flash then.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Store) -> T) -> T {
        let flash = self.flash(0);
        let result = change(&mut self.mount_on(&flash).unwrap());
        self.content = flash.content();
        result
    }

    /// Our independent reader's view; it must find nothing wrong.
    pub(crate) fn values(&self) -> Values {
        let items = cotter_formats::nvs::read_partition(&self.content, self.keys().as_ref()).unwrap();
        items.into_iter().map(|item| (item.key.to_string(), item.value)).collect()
    }

    /// How many flash operations `run` takes on a freshly mounted store.
    pub(crate) fn operations(&self, run: impl FnOnce(&mut Store) -> Outcome<()>) -> u64 {
        let flash = self.flash(0);
        let mut store = self.mount_on(&flash).unwrap();
        flash.fault().restart_count();
        run(&mut store).unwrap();
        flash.fault().operations()
    }

    /// How many flash operations a mount takes.
    pub(crate) fn mount_operations(&self) -> u64 {
        let flash = self.flash(0);
        self.mount_on(&flash).unwrap();
        flash.fault().operations()
    }

    /// The same partition after `run` was cut at `cut`.
    pub(crate) fn cut(&self, cut: Cut, run: impl Fn(&mut Store) -> Outcome<()>) -> Self {
        self.torn(cut, |point| {
            let flash = self.flash(cut.seed);
            let mut store = self.mount_on(&flash).unwrap();
            flash.fault().restart_count();
            flash.fault().cut_at(point);
            run(&mut store).expect_err("the power was cut");
            assert_eq!(store.u32(&NAMESPACE, &key("a")), Err(NvsError::MountAgain), "a failed store must not go on");
            flash.content()
        })
    }

    /// The same partition after a mount was cut at `cut`.
    pub(crate) fn cut_mount(&self, cut: Cut) -> Self {
        self.torn(cut, |point| {
            let flash = self.flash(cut.seed);
            flash.fault().cut_at(point);
            self.mount_on(&flash).expect_err("the power was cut");
            flash.content()
        })
    }

    fn torn(&self, cut: Cut, content: impl Fn(CutPoint) -> Vec<u8>) -> Self {
        let at = |phase| content(CutPoint { op: cut.op, phase });
        let content = match cut.tear {
            Tear::Chip(phase) => at(phase),
            Tear::Spiteful(spite) => spite.between(&at(Phase::Before), &at(Phase::After)),
        };
        Self { content, encrypted: self.encrypted }
    }
}

/// Where and how the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) op: u64,
    pub(crate) tear: Tear,
    pub(crate) seed: u64,
}

/// What the cut operation leaves behind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tear {
    /// What the virtual flash leaves: nothing, all, or a prefix with noise.
    Chip(Phase),
    /// What would hurt most.
    Spiteful(Spite),
}

/// Torn operations that noise would hardly ever find: some of the bits that were to change have changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spite {
    /// The lower bit of each pair: entry states go from empty to *written*.
    LowerBits,
    /// The higher bit of each pair: entry states go from empty to illegal.
    HigherBits,
    /// An erase gives back the page state *full* and marks erased entries as written, and reaches nothing else.
    Resurrection,
}

impl Spite {
    fn between(self, before: &[u8], after: &[u8]) -> Vec<u8> {
        let blend = |(at, (&before, &after)): (usize, (&u8, &u8))| {
            let mask = match (self, at % 4096) {
                (Self::LowerBits, _) => 0b0101_0101,
                (Self::HigherBits, _) => 0b1010_1010,
                (Self::Resurrection, 0) => 0b100,
                (Self::Resurrection, 32..64) => 0b1010_1010,
                (Self::Resurrection, _) => 0,
            };
            before ^ (before ^ after) & mask
        };
        before.iter().zip(after).enumerate().map(blend).collect()
    }
}

/// Each of `operations` cut before, after, torn in `tears` ways by the virtual flash, and torn spitefully.
pub(crate) fn cuts(operations: u64, tears: u64) -> impl Iterator<Item = Cut> {
    let whole = [Phase::Before, Phase::After].map(|phase| (Tear::Chip(phase), 0));
    let torn = (1..=tears).map(|seed| (Tear::Chip(Phase::Torn), seed));
    let spiteful = [Spite::LowerBits, Spite::HigherBits, Spite::Resurrection].map(|spite| (Tear::Spiteful(spite), 0));
    let ways: Vec<(Tear, u64)> = whole.into_iter().chain(torn).chain(spiteful).collect();
    (0..operations).flat_map(move |op| ways.clone().into_iter().map(move |(tear, seed)| Cut { op, tear, seed }))
}

/// Sets a value through the store's own calls.
pub(crate) fn set(store: &mut Store, name: &str, value: &Value<'_>) -> Outcome<()> {
    match value {
        Value::U32(value) => store.set_u32(&NAMESPACE, &key(name), *value),
        Value::U64(value) => store.set_u64(&NAMESPACE, &key(name), *value),
        Value::String(text) => store.set_string(&NAMESPACE, &key(name), text),
        Value::Blob(bytes) => store.set_blob(&NAMESPACE, &key(name), bytes),
        other => panic!("the store sets no {other:?}"),
    }
}

/// Reads a value of whatever type through the store's own calls.
pub(crate) fn get(store: &mut Store, name: &str) -> Outcome<Option<Value<'static>>> {
    let name = key(name);
    let mut buffer = vec![0; 16 * 1024];
    match store.u32(&NAMESPACE, &name) {
        Err(NvsError::Type { .. }) => {}
        other => return Ok(other?.map(Value::U32)),
    }
    match store.u64(&NAMESPACE, &name) {
        Err(NvsError::Type { .. }) => {}
        other => return Ok(other?.map(Value::U64)),
    }
    match store.string(&NAMESPACE, &name, &mut buffer) {
        Err(NvsError::Type { .. }) => {}
        other => return Ok(other?.map(|text| Value::string(text.to_string()))),
    }
    let len = store.blob(&NAMESPACE, &name, &mut buffer)?;
    Ok(len.map(|len| Value::blob(buffer[..len].to_vec())))
}
