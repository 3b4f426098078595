//! What counters must survive: folding at every moment, crashes in the middle of it, neighbours on the same database.

use super::super::{SqliteStore, connect, migrations};
use super::*;
use crate::store::contract::{self, device, entry, id, nth, packet};
use crate::store::{Acceptance, Enrolled, Store, StoreError, Verdict};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn open(path: &Path, generation: usize) -> SqliteStore {
    SqliteStore::folding_after(generation, path, contract::signer()).unwrap()
}

fn log_rows(path: &Path) -> i64 {
    let connection = connect(path).unwrap();
    connection.query_row("SELECT count(*) FROM counter_log", [], |row| row.get(0)).unwrap()
}

async fn accept(store: &SqliteStore, name: &str, nonce: u32) -> Verdict {
    store.accept_once(packet(name, nonce)).await.unwrap()
}

#[test]
fn the_contract_holds_however_often_counters_are_folded() {
    let directory = tempfile::tempdir().unwrap();
    for generation in [1, 3] {
        let mut made = 0;
        contract::check_all(|| {
            made += 1;
            open(&directory.path().join(format!("{generation}-{made}.db")), generation)
        });
        contract::keeps_its_word_through_any_schedule(|case| {
            open(&directory.path().join(format!("{generation}-case-{case}.db")), generation)
        });
        contract::survives_reopening(|| open(&directory.path().join(format!("{generation}-again.db")), generation));
    }
}

#[tokio::test]
async fn what_is_folded_is_in_the_table_and_no_longer_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let store = open(&path, 10);
    let names: Vec<String> = (0..7).map(|number| format!("device-{number}")).collect();
    for name in &names {
        store.enrol(device(name, 0), entry(0)).await.unwrap();
    }
    let mut most = 0;
    for nonce in 1..=40 {
        for name in &names {
            assert_eq!(accept(&store, name, nonce).await, Verdict::Accepted);
        }
        most = most.max(log_rows(&path));
    }
    assert!(most <= 2 * 10 + 7, "{most} rows of one packet each: two generations, and what came meanwhile");
    let kept = || {
        let state = store.counters.state();
        state.young.len() + state.old.advances.len()
    };
    assert!(kept() <= 2 * names.len());
    let connection = connect(&path).unwrap();
    let behind: i64 =
        connection.query_row("SELECT count(*) FROM counter WHERE folded_nonce < 35", [], |row| row.get(0)).unwrap();
    assert_eq!(behind, 0, "the table follows");
    for name in &names {
        assert_eq!(store.device(id(name)).await.unwrap().unwrap().last_nonce, nth(40));
        assert_eq!(store.readings(id(name), 100).await.unwrap().len(), 40);
    }
}

#[tokio::test]
async fn a_transaction_that_does_not_commit_leaves_no_counter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let store = open(&path, 2);
    store.enrol(device("a", 0), entry(0)).await.unwrap();
    assert_eq!(accept(&store, "a", 1).await, Verdict::Accepted);
    // What ends the transaction under the others makes all of it fail.
    let spoiler = store.write(|connection| Ok(connection.execute_batch("ROLLBACK")?));
    let lost = store.accept_once(packet("a", 2));
    let (spoiled, lost) = (spoiler.await, lost.await);
    assert!(matches!(spoiled, Err(StoreError::NotCommitted)));
    // Together with it, or after it.
    if lost.is_err() {
        assert_eq!(accept(&store, "a", 2).await, Verdict::Accepted);
    }
    // In the same transaction, before what spoils it.
    let last = store.counters.last(1).unwrap().reading;
    let advance = Advance { reading: last + 1, nonce: nth(77), ..store.counters.last(1).unwrap() };
    let counters = Arc::clone(&store.counters);
    let spoiled = store.write(move |connection| {
        counters.advance(1, advance);
        assert_eq!(counters.state().present(1), Some(advance));
        assert_ne!(counters.last(1), Some(advance), "nobody else sees it");
        Ok(connection.execute_batch("ROLLBACK")?)
    });
    assert!(spoiled.await.is_err());
    assert_eq!(accept(&store, "a", 3).await, Verdict::Accepted);
    assert_eq!(store.readings(id("a"), 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn neighbours_on_one_database_accept_nothing_twice_and_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let stores = [Arc::new(open(&path, 5)), Arc::new(open(&path, 3))];
    let names: Vec<String> = (0..4).map(|number| format!("device-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(stores[number % 2].enrol(device(name, 0), entry(0)).await.unwrap(), Enrolled::New);
    }
    for nonce in 1..=60 {
        let mut verdicts = HashMap::<&str, Vec<Verdict>>::new();
        let mut asked = Vec::new();
        for name in &names {
            for store in &stores {
                asked.push((name.as_str(), store.accept_once(packet(name, nonce))));
            }
        }
        for (name, asked) in asked {
            verdicts.entry(name).or_default().push(asked.await.unwrap());
        }
        for (name, verdicts) in verdicts {
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 1, "{name} {nonce}");
            assert!(verdicts.contains(&Verdict::Duplicate), "{name} {nonce}: {verdicts:?}");
        }
        for store in &stores {
            let name = &names[nonce as usize % names.len()];
            let found = store.device(id(name)).await.unwrap().unwrap();
            assert_eq!((found.last_nonce, found.last_digest), (nth(nonce), Some(packet(name, nonce).packet_digest)));
            assert_eq!(store.readings(id(name), 100).await.unwrap().len(), nonce as usize);
        }
    }
    assert!(log_rows(&path) < 60, "and the log is folded");
}

#[tokio::test]
async fn what_one_neighbour_did_holds_for_the_other_when_keys_and_protocols_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let (one, other) = (open(&path, 1000), open(&path, 1000));
    one.enrol(device("a", 0), entry(0)).await.unwrap();
    assert_eq!(accept(&one, "a", 500).await, Verdict::Accepted);
    let next = crate::store::DeviceRecord { epoch: KeyEpoch(2), ..device("a", 20) };
    assert_eq!(other.enrol(next, entry(1)).await.unwrap(), Enrolled::NewEpoch);
    let at = |nonce| Acceptance { epoch: KeyEpoch(2), ..packet("a", nonce) };
    assert_eq!(one.accept_once(at(20)).await.unwrap(), Verdict::Replay { last: nth(20) });
    assert_eq!(one.accept_once(at(21)).await.unwrap(), Verdict::Accepted);
    assert_eq!(other.accept_once(at(21)).await.unwrap(), Verdict::Duplicate);
    let newer = Acceptance { protocol: Protocol::V2, ..at(22) };
    assert_eq!(other.accept_once(newer).await.unwrap(), Verdict::Accepted);
    assert_eq!(one.accept_once(at(23)).await.unwrap(), Verdict::Downgrade { minimum: Protocol::V2 });
    drop((one, other));
    let again = open(&path, 1000);
    assert_eq!(again.accept_once(at(23)).await.unwrap(), Verdict::Downgrade { minimum: Protocol::V2 });
    assert_eq!(again.readings(id("a"), 10).await.unwrap().len(), 3);
}

#[test]
fn a_server_from_before_takes_nothing_in_and_its_counters_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let mut old = connect(&path).unwrap();
    let before = migrations::migrations::runner().set_target(refinery::Target::Version(10));
    before.run(&mut old).unwrap();
    old.execute_batch(
        "INSERT INTO device VALUES (1, 'a', 'esp32c3', x'010203040506', x'61', 0, zeroblob(32), 0, NULL);
         INSERT INTO counter (device, epoch, last_nonce) VALUES (1, 1, 41)",
    )
    .unwrap();
    let store = open(&path, 10);
    let accept = "UPDATE counter SET last_nonce = 42 WHERE device = 1";
    let why = old.execute(accept, []).unwrap_err().to_string();
    assert!(why.contains("no such column: last_nonce"), "{why}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert_eq!(store.accept_once(packet("a", 41)).await.unwrap(), Verdict::Replay { last: nth(41) });
        assert_eq!(store.accept_once(packet("a", 42)).await.unwrap(), Verdict::Accepted);
    });
}

#[test]
fn entries_are_read_as_they_were_written_or_not_at_all() {
    let advance = |number: u8| Advance {
        nonce: Sequence::new(u64::from(number) << 32).unwrap(),
        digest: [number; 32],
        reading: i64::from(number) << 40,
        protocol: if number.is_multiple_of(2) { Protocol::V1 } else { Protocol::V2 },
        received_at: i64::MAX - i64::from(number),
    };
    let all: Vec<_> = (0..9).map(|number| (i64::from(number) + 1, advance(number))).collect();
    let bytes: Vec<u8> = all.iter().flat_map(|(device, advance)| encoded(*device, advance)).collect();
    assert_eq!(decoded(&bytes).unwrap(), all);
    for length in (0..bytes.len()).filter(|length| !length.is_multiple_of(ENTRY)) {
        assert!(matches!(decoded(&bytes[..length]), Err(StoreError::Corrupt { column: "counter_log.entries" })));
    }
    for (place, value) in [(32, 0), (32, 3), (16, 1)] {
        let mut spoiled = bytes.clone();
        spoiled[place] = value;
        assert!(decoded(&spoiled).is_err(), "no protocol, or a number of more than 40 bits");
    }
    for place in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        assert!(decoded(&flipped).is_err() || decoded(&flipped).unwrap() != all);
    }
}

#[test]
fn a_log_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    drop(open(&path, 10));
    connect(&path).unwrap().execute("INSERT INTO counter_log VALUES (1, x'00')", []).unwrap();
    let refused = SqliteStore::open(&path, contract::signer());
    assert!(matches!(refused.err(), Some(StoreError::Corrupt { column: "counter_log.entries" })));
}

const RUNS: usize = 30;
const DATABASE: &str = "COTTER_TEST_DATABASE";
const FLEET: u32 = 20;

/// The other half of the test below, which starts it as a process of its own and kills it. Without a database it does
/// nothing.
#[test]
#[allow(clippy::print_stdout, reason = "what it acknowledges")]
fn uploads_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = open(Path::new(&path), 60);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut nonces = HashMap::new();
        for number in 0..FLEET {
            let name = format!("device-{number}");
            store.enrol(device(&name, 0), entry(0)).await.unwrap();
            let last = store.device(id(&name)).await.unwrap().unwrap().last_nonce;
            nonces.insert(name, u32::try_from(last.get()).unwrap());
        }
        loop {
            let sent: Vec<_> = nonces
                .iter_mut()
                .map(|(name, nonce)| {
                    *nonce += 1;
                    (name.clone(), *nonce, store.accept_once(packet(name, *nonce)))
                })
                .collect();
            for (name, nonce, answer) in sent {
                assert_eq!(answer.await.unwrap(), Verdict::Accepted);
                println!("stored {name} {nonce}");
            }
            std::io::stdout().flush().unwrap();
        }
    });
}

#[test]
#[allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]
fn kill_minus_nine_in_the_middle_of_folding_loses_nothing_and_lets_nothing_in_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let mut acknowledged = HashMap::<String, u32>::new();
    let (mut answers, mut readings) = (0, 0);
    for run in 0..RUNS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::sqlite::counters::tests::uploads_until_it_is_killed"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let until = 150 + 67 * (run % 11);
        let mut heard = 0;
        let mut note = |line: String| {
            let mut words = line.rsplit("stored ").next().unwrap_or_default().split(' ');
            if let (true, Some(name), Some(Ok(nonce))) =
                (line.contains("stored "), words.next(), words.next().map(str::parse::<u32>))
            {
                acknowledged.insert(name.to_owned(), nonce);
                heard += 1;
            }
            heard
        };
        while note(lines.next().expect("it works until it is killed")) < until {}
        child.kill().unwrap();
        child.wait().unwrap();
        // A line may be cut.
        lines.filter(|line| line.ends_with(|end: char| end.is_ascii_digit())).for_each(|line| _ = note(line));
        answers += heard;

        let store = open(&path, 60);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        readings = runtime.block_on(async {
            let mut all = 0;
            for (name, nonce) in &acknowledged {
                let found = store.device(id(name)).await.unwrap().unwrap();
                assert!(found.last_nonce >= nth(*nonce), "run {run}: {name} is back at {}", found.last_nonce);
                let again = store.accept_once(packet(name, *nonce)).await.unwrap();
                assert!(matches!(again, Verdict::Duplicate | Verdict::Replay { .. }), "run {run}: {name} {nonce}");
                let stored = store.readings(id(name), usize::MAX).await.unwrap();
                let last = u32::try_from(found.last_nonce.get()).unwrap();
                let nonces: Vec<_> = stored.iter().map(|reading| reading.nonce).collect();
                assert_eq!(nonces, (1..=last).rev().map(nth).collect::<Vec<_>>(), "run {run}: {name}");
                all += stored.len();
            }
            all
        });
        drop(store);
        let connection = connect(&path).unwrap();
        let rows: i64 = connection.query_row("SELECT count(*) FROM reading", [], |row| row.get(0)).unwrap();
        assert_eq!(
            usize::try_from(rows),
            Ok(readings),
            "run {run}: every reading is in its device's chain, and in no other"
        );
    }
    eprintln!("{RUNS} kills, {answers} acknowledged, {readings} stored, none lost, none twice");
}
