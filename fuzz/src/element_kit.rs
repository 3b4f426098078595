//! What a host sends to a board with a secure element, in Microchip's kit protocol.

use cotter_chip::atecc::kit::Kit;
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use std::time::Duration;

/// Whatever is sent, each line gets at most one answer, which is a line, and the part can still be stored.
pub fn element_kit(data: &[u8]) {
    let mut kit = Kit::new(SecureElement::fresh(Model::Atecc608B, [4; 6], Entropy::known(4)));
    let mut now = Duration::ZERO;
    for piece in data.chunks(61) {
        let answers = kit.receive(now, piece);
        now += Duration::from_millis(7);
        let lines = piece.iter().filter(|byte| **byte == b'\n').count();
        assert!(answers.lines().count() <= lines && (answers.is_empty() || answers.ends_with('\n')));
        assert!(answers.lines().all(|line| line.len() < 640 && line.ends_with(')')), "{answers}");
    }
    kit.hang_up();
    let stored = kit.element().to_bytes();
    let again = SecureElement::from_bytes(&stored, Entropy::known(4)).expect("it was written here");
    assert_eq!(again.to_bytes(), stored);
}
