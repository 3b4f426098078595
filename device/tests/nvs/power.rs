//! The power is cut at every flash operation of every kind of change, and again at every operation of the mount that
//! follows. Afterwards each value is the old or the new one, never a third, and the store goes on.

use crate::bench::{Bench, Cut, NAMESPACE, Outcome, Store, Values, cuts, get, key, set};
use cotter_formats::nvs::Value;

type Run<'a> = &'a dyn Fn(&mut Store) -> Outcome<()>;

/// What one change may leave behind.
struct Change<'a> {
    name: &'a str,
    bench: Bench,
    run: Run<'a>,
    old: Values,
    new: Values,
}

#[derive(Default)]
struct Tally {
    operations: u64,
    cuts: u64,
    second_cuts: u64,
    kept_old: u64,
    took_new: u64,
}

impl<'a> Change<'a> {
    fn new(name: &'a str, bench: &Bench, run: Run<'a>) -> Self {
        let mut after = bench.clone();
        after.change(|store| run(store)).unwrap();
        Self { name, bench: bench.clone(), run, old: bench.values(), new: after.values() }
    }

    /// Every operation of the change cut in every way; with `again`, each mount after it too.
    fn exhaust(&self, tears: u64, again: bool) -> Tally {
        let mut tally = Tally { operations: self.bench.operations(self.run), ..Tally::default() };
        for cut in cuts(tally.operations, tears) {
            let broken = self.bench.cut(cut, self.run);
            tally.cuts += 1;
            let settled = self.settle(&broken, &format!("{cut:?}"), &mut tally);
            self.goes_on(settled, cut);
            if again {
                for second in cuts(broken.mount_operations(), tears) {
                    let broken = broken.cut_mount(second);
                    tally.second_cuts += 1;
                    let settled = self.settle(&broken, &format!("{cut:?} then {second:?}"), &mut tally);
                    if tally.second_cuts.is_multiple_of(17) {
                        self.goes_on(settled, second);
                    }
                }
            }
        }
        println!(
            "{}: {} operations, {} cuts, {} cuts during recovery: {} old, {} new",
            self.name, tally.operations, tally.cuts, tally.second_cuts, tally.kept_old, tally.took_new
        );
        assert!(tally.kept_old > 0 && tally.took_new > 0, "{}: both outcomes must have been seen", self.name);
        tally
    }

    /// Mounts; afterwards our independent reader finds no fault, and exactly the old values or the new.
    fn settle(&self, broken: &Bench, what: &str, tally: &mut Tally) -> Bench {
        let mut settled = broken.clone();
        let flash = broken.flash(0);
        broken.mount_on(&flash).unwrap_or_else(|error| panic!("{} {what}: {error:?}", self.name));
        settled.content = flash.content();
        let contents = cotter_formats::nvs::partition::inspect(&settled.content, settled.keys().as_ref()).unwrap();
        // A page that was being erased is left for later: it has no header, and the store takes it for free.
        let serious = |fault: &&cotter_formats::nvs::partition::Fault| fault.entry.is_some();
        assert_eq!(contents.faults.iter().find(serious), None, "{} {what}", self.name);
        let values: Values = contents.items.into_iter().map(|item| (item.key.to_string(), item.value)).collect();
        if values == self.new {
            tally.took_new += 1;
        } else {
            assert_eq!(values, self.old, "{} {what}: neither old nor new", self.name);
            tally.kept_old += 1;
        }
        assert_eq!(settled.mount_operations(), 0, "{} {what}: a second mount must find nothing to do", self.name);
        settled
    }

    /// The change can be made after all, and another one.
    fn goes_on(&self, mut settled: Bench, cut: Cut) {
        settled.change(|store| {
            (self.run)(store).unwrap_or_else(|error| panic!("{} {cut:?}: {error:?}", self.name));
            set(store, "after", &Value::U32(9)).unwrap();
            for (name, value) in &self.new {
                assert_eq!(get(store, name).as_ref(), Ok(&Some(value.clone())), "{} {cut:?}", self.name);
            }
            assert_eq!(get(store, "after"), Ok(Some(Value::U32(9))));
        });
    }
}

/// A few values of each kind.
fn furnished(encrypted: bool) -> Bench {
    let mut bench = Bench::erased(3, encrypted);
    bench.change(|store| {
        set(store, "number", &Value::U32(1)).unwrap();
        set(store, "blob", &Value::blob(vec![0xA5; 70])).unwrap();
        set(store, "text", &Value::string("old text")).unwrap();
        set(store, "bystander", &Value::U64(7)).unwrap();
    });
    bench
}

/// Two full pages, each with a dozen live values that moving it must carry, so that the next `set` frees a page.
fn about_to_free(encrypted: bool) -> Bench {
    let mut bench = Bench::erased(3, encrypted);
    bench.change(|store| {
        for page in ["x", "y"] {
            for number in 0..4 {
                set(store, &format!("{page}{number}"), &Value::U32(number)).unwrap();
            }
            set(store, &format!("{page}blob"), &Value::blob(vec![number_of(page); 200])).unwrap();
            set(store, &format!("{page}text"), &Value::string(page.repeat(40))).unwrap();
            set(store, "doomed", &Value::U32(1)).unwrap();
            store.erase_key(&NAMESPACE, &key("doomed")).unwrap();
            let entries = if page == "x" { 126 - 18 } else { 126 - 17 };
            (0..entries).for_each(|round| set(store, "number", &Value::U32(round)).unwrap());
        }
    });
    let mut round = 1000;
    while bench.operations(|store| set(store, "number", &Value::U32(round))) < 10 {
        bench.change(|store| set(store, "number", &Value::U32(round))).unwrap();
        round += 1;
    }
    bench
}

fn number_of(page: &str) -> u8 {
    page.as_bytes()[0]
}

#[test]
fn old_or_new_when_any_operation_of_a_change_is_cut() {
    let mut tallies = Vec::new();
    for encrypted in [false, true] {
        let bench = furnished(encrypted);
        let changes: [(&str, Run<'_>); 8] = [
            ("new number", &|store| set(store, "fresh", &Value::U32(5))),
            ("number", &|store| set(store, "number", &Value::U32(2))),
            ("blob", &|store| set(store, "blob", &Value::blob(vec![0x5A; 600]))),
            ("text", &|store| set(store, "text", &Value::string("new text ".repeat(9)))),
            ("blob to number", &|store| set(store, "blob", &Value::U32(3))),
            ("number to blob", &|store| set(store, "number", &Value::blob(vec![3; 40]))),
            ("erase number", &|store| store.erase_key(&NAMESPACE, &key("number")).map(|_| ())),
            ("erase blob", &|store| store.erase_key(&NAMESPACE, &key("blob")).map(|_| ())),
        ];
        for (name, run) in changes {
            tallies.push(Change::new(name, &bench, run).exhaust(4, true));
        }
    }
    let total = tallies.iter().map(|tally| tally.cuts + tally.second_cuts).sum::<u64>();
    println!("{total} cuts in all");
    assert!(total > 5_000, "{total}");
}

#[test]
fn old_or_new_when_any_operation_of_the_first_change_is_cut() {
    for encrypted in [false, true] {
        Change::new("first value", &Bench::erased(3, encrypted), &|store| set(store, "a", &Value::U32(1)))
            .exhaust(4, true);
    }
}

#[test]
fn old_or_new_when_any_operation_of_freeing_a_page_is_cut() {
    for encrypted in [false, true] {
        let bench = about_to_free(encrypted);
        let run: Run<'_> = &|store| set(store, "number", &Value::U32(5000));
        let tally = Change::new("freeing a page", &bench, run).exhaust(1, true);
        assert!(tally.operations > 30, "a page with live values was moved: {}", tally.operations);
        let run: Run<'_> = &|store| set(store, "xblob", &Value::blob(vec![1; 500]));
        Change::new("freeing a page for a blob", &bench, run).exhaust(2, false);
    }
}
