//! The server's audit log as an auditor gets it: keys, signed checkpoints, proofs, lines.

use cotter_formats::secret::Secret;
use cotter_server::audit::checkpoint::Checkpoint;
use cotter_server::audit::line::Line;
use cotter_server::audit::note::{NoteKey, NoteSigner};
use cotter_server::audit::proof;
use cotter_server::audit::review::review;
use cotter_server::audit::tree::Frontier;

/// Keys and lines have one spelling, nobody forges a checkpoint, and what is proven is a line.
pub fn audit_log(data: &[u8]) {
    let signer = NoteSigner::new(&Secret::filled_by(|seed| seed.fill(0x42))).expect("a seed");
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(key) = text.parse::<NoteKey>() {
            assert_eq!(key.to_string(), text.trim_ascii(), "a second spelling of a key");
        }
        if let Ok(signed) = signer.key().open(text) {
            assert!(text.starts_with(&signer.sign(signed)[..signed.len()]), "a note lost its text");
        }
        if let Ok(checkpoint) = Checkpoint::open(text, signer.key()) {
            assert_eq!(Checkpoint::open(&checkpoint.sign(&signer), signer.key()), Ok(checkpoint));
        }
        if let Ok((line, checkpoint)) = proof::check(text, signer.key()) {
            assert!(
                line.index < checkpoint.size && Line::parse(&line.text()) == Some(line),
                "proved a line that is none"
            );
        }
        // What the signer would say of it, if it were a log.
        let frontier = Frontier::of(text.lines().map(Line::leaf_of));
        let note = Checkpoint::of(&frontier).sign(&signer);
        if review(data, &note, &[], signer.key()).is_ok() {
            let places = text.lines().map(|line| Line::parse(line).expect("reviewed").index);
            assert!(places.eq(0..frontier.size()), "a gap was passed over");
        }
    }
    let note = Checkpoint { size: 1, root: [0; 32] }.sign(&signer);
    assert!(review(data, &note, &[], signer.key()).is_err(), "a log has the root of another");
}
