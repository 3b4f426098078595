//! The text that a shim sends to the bus of a secure element.

use cotter_chip::atecc::bus::{Bus, LINE_MAX};
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use std::time::Duration;

/// Whatever is sent, each line gets at most one answer, which is a line, and the part can still be stored.
pub fn element_bus(data: &[u8]) {
    let element = SecureElement::fresh(Model::Atecc608A, [2; 6], Entropy::known(2));
    let mut bus = Bus::new(element);
    let mut now = Duration::ZERO;
    for piece in data.chunks(61) {
        let answers = bus.receive(now, piece);
        now += Duration::from_millis(7);
        let lines = piece.iter().filter(|byte| **byte == b'\n').count();
        assert!(answers.lines().count() <= lines && (answers.is_empty() || answers.ends_with('\n')));
        assert!(answers.lines().all(|line| line.len() < LINE_MAX), "{answers}");
    }
    bus.hang_up();
    let stored = bus.element().to_bytes();
    let again = SecureElement::from_bytes(&stored, Entropy::known(2)).expect("it was written here");
    assert_eq!(again.to_bytes(), stored);
    assert!(SecureElement::from_bytes(data, Entropy::known(2)).is_err() || data.len() == stored.len());
}
