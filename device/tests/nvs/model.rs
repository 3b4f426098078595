//! A `HashMap` beside the store: random changes, remounts and power cuts, and after each the two agree.

use crate::bench::{Bench, NAMESPACE, get, key, set};
use cotter_chip::fault::{CutPoint, Phase};
use cotter_chip::flash::Flash;
use cotter_device::nvs::NvsError;
use cotter_formats::nvs::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Step {
    Set {
        name: usize,
        value: Value<'static>,
    },
    Erase {
        name: usize,
    },
    Remount,
    /// Cuts the power at one of the next operations, and the mount after that at one of its first ones.
    Cut {
        after: u64,
        phase: Phase,
        during_mount: Option<u64>,
    },
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "a_key_of_15_len"];

fn any_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        4 => any::<u32>().prop_map(Value::U32),
        2 => any::<u64>().prop_map(Value::U64),
        2 => "[a-z]{0,100}".prop_map(Value::string),
        3 => vec(any::<u8>(), 0..300).prop_map(Value::blob),
        1 => vec(any::<u8>(), 1000..1984).prop_map(Value::blob),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let phase = prop_oneof![Just(Phase::Before), Just(Phase::Torn), Just(Phase::After)];
    prop_oneof![
        12 => (0..NAMES.len(), any_value()).prop_map(|(name, value)| Step::Set { name, value }),
        2 => (0..NAMES.len()).prop_map(|name| Step::Erase { name }),
        1 => Just(Step::Remount),
        4 => (0..60_u64, phase, proptest::option::of(0..30_u64))
            .prop_map(|(after, phase, during_mount)| Step::Cut { after, phase, during_mount }),
    ]
}

/// Steps until the power goes, then mounts again, through a second cut if one is planned.
struct Run {
    bench: Bench,
    flash: Flash,
    during_mount: Option<u64>,
    model: HashMap<&'static str, Value<'static>>,
}

impl Run {
    fn mount(&mut self) -> crate::bench::Store {
        self.flash.fault().restore_power();
        self.flash.fault().restart_count();
        if let Some(op) = self.during_mount.take() {
            self.flash.fault().cut_at(CutPoint { op, phase: Phase::Torn });
            if let Ok(store) = self.bench.mount_on(&self.flash) {
                self.flash.fault().forget_cut();
                return store;
            }
            self.flash.fault().restore_power();
        }
        self.bench.mount_on(&self.flash).unwrap()
    }

    fn agree(&self) {
        let bench = Bench { content: self.flash.content(), encrypted: self.bench.encrypted };
        let contents = cotter_formats::nvs::partition::inspect(&bench.content, bench.keys().as_ref()).unwrap();
        assert!(contents.faults.iter().all(|fault| fault.entry.is_none()), "{:?}", contents.faults);
        let ours: HashMap<String, Value<'static>> =
            contents.items.into_iter().map(|item| (item.key.to_string(), item.value)).collect();
        let model: HashMap<String, Value<'static>> =
            self.model.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        assert_eq!(ours, model);
    }

    fn all(mut self, steps: Vec<Step>) {
        let mut store = self.mount();
        for step in steps {
            let (name, new) = match step {
                Step::Set { name, value } => (NAMES[name], Some(value)),
                Step::Erase { name } => (NAMES[name], None),
                Step::Remount => {
                    store = self.mount();
                    self.agree();
                    continue;
                }
                Step::Cut { after, phase, during_mount } => {
                    self.flash.fault().restart_count();
                    self.flash.fault().cut_at(CutPoint { op: after, phase });
                    self.during_mount = during_mount;
                    continue;
                }
            };
            let done = match &new {
                Some(value) => set(&mut store, name, value),
                None => store.erase_key(&NAMESPACE, &key(name)).map(|_| ()),
            };
            match done {
                Ok(()) => {}
                Err(NvsError::NoSpace { .. }) => continue,
                Err(NvsError::Flash(_)) => {
                    store = self.mount();
                    let now = get(&mut store, name).unwrap();
                    assert!(now == new || now.as_ref() == self.model.get(name), "{name}: a third value, {now:?}");
                    match now {
                        Some(value) => self.model.insert(name, value),
                        None => self.model.remove(name),
                    };
                    self.agree();
                    continue;
                }
                Err(other) => panic!("{other:?}"),
            }
            match new {
                Some(value) => self.model.insert(name, value),
                None => self.model.remove(name),
            };
            assert_eq!(get(&mut store, name).unwrap().as_ref(), self.model.get(name));
        }
        self.flash.fault().forget_cut();
        drop(store);
        self.mount();
        self.agree();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_hash_map(
        steps in vec(any_step(), 1..150),
        pages in 3_usize..6,
        encrypted: bool,
        seed: u64,
    ) {
        let bench = Bench::erased(pages, encrypted);
        let flash = bench.flash(seed);
        Run { bench, flash, during_mount: None, model: HashMap::new() }.all(steps);
    }
}
