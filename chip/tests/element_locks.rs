//! What a secure element refuses in which lock state, row by row; the rows are those of docs/element-locks.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails, and the table has as many columns as it has"
)]

#[path = "element_locks/host.rs"]
mod host;
#[path = "element_locks/request.rs"]
mod request;

use cotter_chip::atecc::Model;
use cotter_formats::atecc::{ConfigZone, Opcode, Slot, Status};
use host::{Host, PATTERN};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/element-locks.md");

const STATES: [&str; 5] = ["open", "config", "config, slot", "both", "both, slot"];

/// One line of the table.
struct Row {
    line: usize,
    opcode: Opcode,
    what: &'static str,
    param1: u8,
    param2: u16,
    before: &'static str,
    data: &'static str,
    answers: [&'static str; 5],
    source: &'static str,
}

/// The cells of the table whose header begins so.
fn table(header: &str) -> Vec<(usize, Vec<&'static str>)> {
    let lines = (1..).zip(PAGE.lines()).skip_while(|(_, line)| !line.starts_with(header)).skip(2);
    let rows = lines.take_while(|(_, line)| line.starts_with('|'));
    rows.map(|(at, line)| (at, line.trim_matches('|').split('|').map(str::trim).collect())).collect()
}

fn rows() -> Vec<Row> {
    let rows = table("| command |").into_iter().map(|(line, cells)| {
        let [command, what, param1, param2, before, data, open, config, config_slot, both, both_slot, source] =
            cells.try_into().unwrap();
        Row {
            line,
            opcode: opcode(command),
            what,
            param1: u8::from_str_radix(param1, 16).unwrap(),
            param2: u16::from_str_radix(param2, 16).unwrap(),
            before,
            data,
            answers: [open, config, config_slot, both, both_slot],
            source,
        }
    });
    rows.collect()
}

const COMMANDS: [(&str, Opcode); 22] = [
    ("AES", Opcode::AES),
    ("CheckMac", Opcode::CHECK_MAC),
    ("Counter", Opcode::COUNTER),
    ("DeriveKey", Opcode::DERIVE_KEY),
    ("ECDH", Opcode::ECDH),
    ("GenDig", Opcode::GEN_DIG),
    ("GenKey", Opcode::GEN_KEY),
    ("Info", Opcode::INFO),
    ("KDF", Opcode::KDF),
    ("Lock", Opcode::LOCK),
    ("MAC", Opcode::MAC),
    ("Nonce", Opcode::NONCE),
    ("PrivWrite", Opcode::PRIV_WRITE),
    ("Random", Opcode::RANDOM),
    ("Read", Opcode::READ),
    ("SecureBoot", Opcode::SECURE_BOOT),
    ("SelfTest", Opcode::SELF_TEST),
    ("SHA", Opcode::SHA),
    ("Sign", Opcode::SIGN),
    ("UpdateExtra", Opcode::UPDATE_EXTRA),
    ("Verify", Opcode::VERIFY),
    ("Write", Opcode::WRITE),
];

fn opcode(name: &str) -> Opcode {
    match COMMANDS.iter().find(|(known, _)| *known == name) {
        Some((_, opcode)) => *opcode,
        None => Opcode(u8::from_str_radix(name, 16).unwrap()),
    }
}

/// An answer as the table writes it.
fn word(answer: &[u8]) -> String {
    match answer {
        [status] => match Status(*status) {
            Status::SUCCESS => "ok".to_owned(),
            Status::MISCOMPARE => "no".to_owned(),
            Status::PARSE => "parse".to_owned(),
            Status::ECC_FAULT => "ecc".to_owned(),
            Status::EXECUTION => "exec".to_owned(),
            other => format!("status {:02x}", other.0),
        },
        _ if answer == PATTERN.repeat(8) => "pattern".to_owned(),
        _ => answer.len().to_string(),
    }
}

fn every_row_holds(model: Model) {
    let directory = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (state, name) in STATES.into_iter().enumerate() {
        let path = directory.path().join(format!("{state}.bin"));
        Host::in_state(model, state).save(&path);
        for row in rows() {
            let mut host = Host::load(&path);
            request::prepare(&mut host, row.before);
            let data = request::data(&host, row.data, row.opcode, row.param1, row.param2);
            let found = word(&host.run(row.opcode, row.param1, row.param2, &data));
            if found != row.answers[state] {
                let Row { line, what, opcode, .. } = row;
                wrong.push(format!("{line}: {opcode:?} {what}, {name}: {found}, not {}", row.answers[state]));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/element-locks.md, {model:?}\n{}", wrong.join("\n"));
}

#[test]
fn an_atecc608a_answers_as_the_page_says() {
    every_row_holds(Model::Atecc608A);
}

#[test]
fn an_atecc608b_answers_as_the_page_says() {
    every_row_holds(Model::Atecc608B);
}

#[test]
fn the_page_has_every_command_with_its_source() {
    let rows = rows();
    let asked: BTreeSet<u8> = rows.iter().map(|row| row.opcode.0).collect();
    for (name, opcode) in COMMANDS {
        assert!(asked.contains(&opcode.0), "{name}");
    }
    for row in &rows {
        let is_named = row.source.starts_with("DS ") || row.source.starts_with("CAL ");
        assert!(is_named, "{}: {}", row.line, row.source);
    }
    let unique: BTreeSet<_> =
        rows.iter().map(|row| (row.opcode.0, row.param1, row.param2, row.before, row.data)).collect();
    assert_eq!(unique.len(), rows.len(), "a row is there twice");
}

/// What is refused for good has no state in which it is allowed again: a closed lock opens nothing that writes.
#[test]
fn no_lock_opens_what_changes_a_slot() {
    let changes = |row: &Row| {
        let writes_slot = row.opcode == Opcode::WRITE && row.param1 & 3 == 2;
        writes_slot || [Opcode::PRIV_WRITE, Opcode::DERIVE_KEY].contains(&row.opcode)
    };
    for row in rows().iter().filter(|row| changes(row)) {
        assert_eq!([row.answers[2], row.answers[4]], ["exec"; 2], "{}: {}", row.line, row.what);
    }
}

#[test]
fn the_slots_of_the_page_are_those_of_the_part() {
    let part = Host::in_state(Model::Atecc608A, 1);
    let config: &ConfigZone = part.config();
    let slots = table("| slot |");
    assert_eq!(slots.len(), 16);
    for (slot, (_, cells)) in Slot::all().zip(slots) {
        let (rules, key) = (config.slot_config(slot).0, config.key_config(slot).0);
        let found = [slot.number().to_string(), format!("{rules:04x}"), format!("{key:04x}")];
        assert_eq!(found, [cells[0], cells[2], cells[3]]);
    }
}
