//! Random schedules against a model: uploads alone and many at once, retries, old epochs, new epochs, and crashes with
//! work in flight. Whatever happens, what was acknowledged is there and no nonce was accepted twice.

use super::{device, entry, id, nth, packet, runtime};
use crate::store::{Acceptance, DeviceRecord, Enrolled, Place, Store, Verdict};
use cotter_wire::ids::{KeyEpoch, Nonce, Sequence};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;

/// `open` opens the store of a case, anew or again.
#[allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]
pub(in crate::store) fn keeps_its_word_through_any_schedule<S: Store>(open: impl Fn(u32) -> S) {
    let (runtime, case, acts) = (runtime(), Cell::new(0), Cell::new([0_u32; 4]));
    let schedule = proptest::collection::vec(act(), 1..40);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let outcome = runner.run(&schedule, |schedule| {
        case.set(case.get() + 1);
        let open = || open(case.get());
        runtime.block_on(async {
            let mut run = Run { store: Some(open()), open, models: Vec::new(), acts: acts.get() };
            run.begin().await?;
            for act in schedule {
                run.perform(act).await?;
            }
            run.end().await?;
            acts.set(run.acts);
            Ok(())
        })
    });
    let [accepted, refused, epochs, crashes] = acts.get();
    eprintln!("{accepted} accepted, {refused} refused, {epochs} new epochs, {crashes} crashes in {} cases", case.get());
    outcome.unwrap();
}

#[derive(Debug, Clone)]
enum Act {
    /// All queued before the first is waited for.
    Upload(Vec<Wish>),
    /// The packet that was accepted last, again.
    Retry(usize),
    /// Keys of the next epoch, with this floor.
    NewEpoch(usize, u32),
    /// These are under way when the store goes.
    Crash(Vec<Wish>),
}

/// A packet of a device, `step - 3` above the last accepted one, sealed `age` epochs ago.
#[derive(Debug, Clone, Copy)]
struct Wish {
    device: usize,
    step: u32,
    content: u8,
    age: u32,
}

fn act() -> impl Strategy<Value = Act> {
    let age = prop_oneof![9 => Just(0_u32), 1 => Just(1)];
    let wish = (0..DEVICES, 0..30_u32, 0..2_u8, age);
    let wish = wish.prop_map(|(device, step, content, age)| Wish { device, step, content, age });
    prop_oneof![
        6 => proptest::collection::vec(wish.clone(), 1..6).prop_map(Act::Upload),
        2 => (0..DEVICES).prop_map(Act::Retry),
        1 => (0..DEVICES, 0..50_u32).prop_map(|(device, floor)| Act::NewEpoch(device, floor)),
        1 => proptest::collection::vec(wish, 0..6).prop_map(Act::Crash),
    ]
}

/// What a device's record must say.
struct Model {
    record: DeviceRecord,
    place: Place,
    last: u32,
    digest: Option<[u8; 32]>,
    /// Every accepted one: epoch, nonce, content.
    readings: Vec<(KeyEpoch, Sequence, Vec<u8>)>,
}

impl Model {
    fn wanted(&self, wish: Wish) -> Acceptance {
        let nonce = (self.last + wish.step).saturating_sub(3);
        let epoch = KeyEpoch(self.record.epoch.0 - wish.age.min(self.record.epoch.0 - 1));
        let mut sent = Acceptance { epoch, nonce_window: WINDOW, ..packet(self.record.id.as_str(), nonce) };
        // Found by name, or where it is: no difference.
        sent.place = (wish.content == 1).then_some(self.place);
        sent.packet_digest[5] = wish.content;
        sent.packet_digest[6] = u8::try_from(epoch.0).unwrap();
        sent.reading.push(wish.content);
        sent
    }

    /// What the store must say, and what is so afterwards.
    fn accept(&mut self, sent: &Acceptance) -> Verdict {
        let last = nth(self.last);
        if sent.epoch != self.record.epoch {
            return Verdict::WrongEpoch { current: self.record.epoch };
        }
        if sent.nonce <= last {
            let same = sent.nonce == last && self.digest == Some(sent.packet_digest);
            return if same { Verdict::Duplicate } else { Verdict::Replay { last } };
        }
        if sent.nonce.get() - last.get() > u64::from(WINDOW) {
            return Verdict::Jump { last };
        }
        (self.last, self.digest) = (u32::try_from(sent.nonce.get()).unwrap(), Some(sent.packet_digest));
        self.readings.push((sent.epoch, sent.nonce, sent.reading.clone()));
        Verdict::Accepted
    }
}

struct Run<S, O> {
    store: Option<S>,
    open: O,
    models: Vec<Model>,
    acts: [u32; 4],
}

impl<S: Store, O: Fn() -> S> Run<S, O> {
    fn store(&self) -> &S {
        self.store.as_ref().unwrap()
    }

    async fn begin(&mut self) -> Result<(), TestCaseError> {
        for name in ["a", "b", "c"] {
            let record = device(name, 5);
            prop_assert_eq!(self.store().enrol(record.clone(), entry(0)).await.unwrap(), Enrolled::New);
            let last = record.nonce_floor.0;
            let place = self.store().device(record.id).await.unwrap().unwrap().place;
            self.models.push(Model { record, place, last, digest: None, readings: Vec::new() });
        }
        Ok(())
    }

    async fn perform(&mut self, act: Act) -> Result<(), TestCaseError> {
        match act {
            Act::Upload(wishes) => {
                let sent: Vec<_> = wishes.iter().map(|wish| self.models[wish.device].wanted(*wish)).collect();
                let answers: Vec<_> = sent.iter().map(|sent| self.store().accept_once(sent.clone())).collect();
                let mut verdicts = Vec::new();
                for answer in answers {
                    verdicts.push(answer.await.unwrap());
                }
                for ((wish, sent), verdict) in wishes.iter().zip(&sent).zip(verdicts) {
                    prop_assert_eq!(verdict, self.models[wish.device].accept(sent), "{:?}", sent);
                    self.acts[usize::from(verdict != Verdict::Accepted)] += 1;
                }
            }
            Act::Retry(number) => {
                let model = &self.models[number];
                let Some((epoch, nonce, reading)) = model.readings.last().cloned() else { return Ok(()) };
                let Some(packet_digest) = model.digest else { return Ok(()) };
                let sent = Acceptance { epoch, packet_digest, reading, nonce, ..packet(model.record.id.as_str(), 0) };
                prop_assert_eq!(self.store().accept_once(sent).await.unwrap(), Verdict::Duplicate);
            }
            Act::NewEpoch(number, floor) => {
                let record = &self.models[number].record;
                let epoch = KeyEpoch(record.epoch.0 + 1);
                let record = DeviceRecord { epoch, nonce_floor: Nonce(floor), ..record.clone() };
                prop_assert_eq!(self.store().enrol(record.clone(), entry(0)).await.unwrap(), Enrolled::NewEpoch);
                let stale = self.store().enrol(record.clone(), entry(0)).await.unwrap();
                prop_assert_eq!(stale, Enrolled::Stale { current: epoch });
                let model = &mut self.models[number];
                (model.last, model.digest, model.record) = (floor, None, record);
                self.acts[2] += 1;
            }
            Act::Crash(wishes) => {
                let sent: Vec<_> = wishes.iter().map(|wish| self.models[wish.device].wanted(*wish)).collect();
                for sent in &sent {
                    drop(self.store().accept_once(sent.clone()));
                }
                self.store = None;
                self.store = Some((self.open)());
                self.acts[3] += 1;
                for number in 0..self.models.len() {
                    let of_device = wishes.iter().zip(&sent).filter(|(wish, _)| wish.device == number);
                    self.adopt(number, of_device.map(|(_, sent)| sent)).await?;
                }
            }
        }
        Ok(())
    }

    /// Nobody knows how far the store has come with what was under way, but it did it in order and nothing by halves.
    async fn adopt(
        &mut self,
        number: usize,
        under_way: impl Iterator<Item = &Acceptance>,
    ) -> Result<(), TestCaseError> {
        let stored = self.store().device(self.models[number].record.id).await.unwrap().unwrap();
        let reached = (stored.last_nonce, stored.last_digest);
        let model = &mut self.models[number];
        model.place = stored.place;
        let mut possible = (nth(model.last), model.digest) == reached;
        for sent in under_way {
            if possible {
                break;
            }
            model.accept(sent);
            possible = (nth(model.last), model.digest) == reached;
        }
        prop_assert!(possible, "the store is at {:?}, which no packet led to", reached);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), TestCaseError> {
        for model in &self.models {
            let stored = self.store().readings(model.record.id, usize::MAX).await.unwrap();
            let stored: Vec<_> = stored.into_iter().rev().map(|one| (one.epoch, one.nonce, one.reading)).collect();
            prop_assert_eq!(&stored, &model.readings);
            prop_assert!(stored.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)));
        }
        prop_assert!(self.store().device(id("stranger")).await.unwrap().is_none());
        Ok(())
    }
}

const DEVICES: usize = 3;
const WINDOW: u32 = 20;
