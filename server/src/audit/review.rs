//! Reading a log that somebody hands over: every line, its place, and the root that was signed; offline.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::line::{LONGEST, Line};
use super::note::NoteKey;
use super::tree::Frontier;
use std::io::{self, BufRead, Read};

/// A log that is what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Review {
    /// Its entries.
    pub entries: u64,
    /// When the first and the last happened, Unix seconds.
    pub span: Option<(u64, u64)>,
    /// Earlier checkpoints that it continues.
    pub earlier: usize,
}

/// Compares a log with its checkpoint and with checkpoints that were kept from earlier. One line is in memory at a time.
///
/// # Errors
/// [`LogFault`].
pub fn review(log: impl BufRead, checkpoint: &str, earlier: &[String], key: &NoteKey) -> Result<Review, LogFault> {
    let signed = Checkpoint::open(checkpoint, key)?;
    let mut kept = earlier.iter().map(|note| Checkpoint::open(note, key)).collect::<Result<Vec<_>, _>>()?;
    kept.sort_by_key(|kept| kept.size);
    if let Some(later) = kept.iter().find(|kept| kept.size > signed.size) {
        return Err(LogFault::RolledBack { now: signed.size, before: later.size });
    }
    let (mut frontier, mut span, mut agreed) = (Frontier::default(), None, None);
    // The first earlier checkpoint that the lines contradict.
    let mut contradicted = None;
    let mut marks = kept.iter().peekable();
    let mut compare = |frontier: &Frontier, agreed: &mut Option<u64>| {
        while let Some(mark) = marks.next_if(|mark| mark.size == frontier.size()) {
            if mark.root == frontier.root() {
                *agreed = Some(mark.size);
            } else {
                contradicted.get_or_insert(mark.size);
            }
        }
    };
    compare(&frontier, &mut agreed);
    let mut log = log;
    while let Some(text) = next_line(&mut log, frontier.size())? {
        let at = frontier.size();
        let line = Line::parse(&text).ok_or(LogFault::NotALine { at })?;
        if line.index != at {
            return Err(LogFault::OutOfPlace { at, says: line.index });
        }
        if at >= signed.size {
            return Err(LogFault::NotCovered { size: signed.size });
        }
        span = Some((span.map_or(line.at, |(first, _)| first), line.at));
        frontier.push(Line::leaf_of(&text));
        compare(&frontier, &mut agreed);
    }
    if frontier.size() < signed.size {
        return Err(LogFault::Truncated { entries: frontier.size(), size: signed.size });
    }
    if frontier.root() != signed.root {
        return Err(LogFault::Changed { from: agreed.unwrap_or(0), to: contradicted.unwrap_or(signed.size) });
    }
    match contradicted {
        Some(size) => Err(LogFault::Forked { size }),
        None => Ok(Review { entries: signed.size, span, earlier: kept.len() }),
    }
}

/// A line without its newline, never more than a line can be. `at`: its place, for the refusal.
///
/// # Errors
/// [`LogFault::NotALine`], [`LogFault::Io`].
pub fn next_line(log: &mut impl BufRead, at: u64) -> Result<Option<String>, LogFault> {
    let mut text = Vec::new();
    log.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut text)?;
    match text.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(text).map(Some).map_err(|_| LogFault::NotALine { at }),
        Some(_) => Err(LogFault::NotALine { at }),
    }
}

/// What is wrong with a log. Entries count from 0.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The checkpoint itself.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file cannot be read.
    #[error("audit log: {0}")]
    Io(#[from] io::Error),
    /// Not a line of a log.
    #[error("audit log: entry {at} is not an entry as the server writes them")]
    NotALine {
        /// Its place.
        at: u64,
    },
    /// An entry was moved, removed or inserted.
    #[error("audit log: reordered: in the place of entry {at} stands entry {says}")]
    OutOfPlace {
        /// Its place.
        at: u64,
        /// The place that it says.
        says: u64,
    },
    /// Entries at the end are missing.
    #[error("audit log: truncated: {entries} entries, but {size} were signed")]
    Truncated {
        /// That are there.
        entries: u64,
        /// That the checkpoint covers.
        size: u64,
    },
    /// Entries behind those that were signed.
    #[error("audit log: entries from {size} on were never signed")]
    NotCovered {
        /// That the checkpoint covers.
        size: u64,
    },
    /// An entry says something else than when it was signed.
    #[error("audit log: changed: an entry from {from} up to, not including, {to} is not what was signed")]
    Changed {
        /// Entries before this one are good.
        from: u64,
        /// The first place behind the change.
        to: u64,
    },
    /// The server signed another history before.
    #[error("audit log: forked: an earlier checkpoint of {size} entries was signed for other entries")]
    Forked {
        /// Size of the earlier checkpoint.
        size: u64,
    },
    /// The server signed a longer history before.
    #[error("audit log: rolled back: {now} entries are signed now, {before} were before")]
    RolledBack {
        /// That the checkpoint covers.
        now: u64,
        /// That an earlier one covered.
        before: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteSigner;
    use super::super::proof;
    use super::*;
    use crate::store::AuditEntry;
    use cotter_formats::secret::Secret;

    struct Log {
        lines: Vec<String>,
        signer: NoteSigner,
    }

    impl Log {
        fn of(size: u64) -> Self {
            let signer = NoteSigner::new(&Secret::filled_by(|seed| *seed = [3; 32])).unwrap();
            let mut log = Self { lines: Vec::new(), signer };
            (0..size).for_each(|i| log.append(&format!("entry {i}")));
            log
        }

        fn append(&mut self, detail: &str) {
            let index = self.lines.len() as u64;
            let entry = AuditEntry {
                at: 100 + index,
                by: String::new(),
                subject: String::new(),
                event: "e".into(),
                detail: detail.into(),
            };
            self.lines.push(Line::new(index, entry).text());
        }

        fn checkpoint(&self) -> String {
            let frontier = Frontier::of(self.lines.iter().map(|line| Line::leaf_of(line)));
            Checkpoint::of(&frontier).sign(&self.signer)
        }

        fn review(&self, checkpoint: &str, earlier: &[String]) -> Result<Review, String> {
            let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
            review(text.as_bytes(), checkpoint, earlier, self.signer.key()).map_err(|fault| fault.to_string())
        }
    }

    #[test]
    fn a_log_is_what_was_signed_and_continues_what_was_signed_before() {
        let mut log = Log::of(0);
        let mut earlier = vec![log.checkpoint()];
        for i in 0..20 {
            log.append(&i.to_string());
            earlier.push(log.checkpoint());
        }
        let review = log.review(&log.checkpoint(), &earlier).unwrap();
        assert_eq!(review, Review { entries: 20, span: Some((100, 119)), earlier: 21 });
        assert_eq!(Log::of(0).review(&Log::of(0).checkpoint(), &[]).unwrap().entries, 0);
    }

    #[test]
    fn truncation_reordering_edits_and_additions_are_named() {
        let (good, early) = (Log::of(9), Log::of(4).checkpoint());
        let signed = good.checkpoint();
        let refused = |change: &dyn Fn(&mut Vec<String>)| {
            let mut log = Log::of(9);
            change(&mut log.lines);
            log.review(&signed, std::slice::from_ref(&early)).unwrap_err()
        };
        assert_eq!(refused(&|l| drop(l.pop())), "audit log: truncated: 8 entries, but 9 were signed");
        assert_eq!(refused(&|l| drop(l.remove(3))), "audit log: reordered: in the place of entry 3 stands entry 4");
        assert_eq!(refused(&|l| l.swap(2, 5)), "audit log: reordered: in the place of entry 2 stands entry 5");
        let edit = |at: usize| move |l: &mut Vec<String>| l[at] = l[at].replace("entry", "emtry");
        let changed = "an entry from 4 up to, not including, 9 is not what was signed";
        assert_eq!(refused(&edit(7)), format!("audit log: changed: {changed}"));
        let changed = "an entry from 0 up to, not including, 4 is not what was signed";
        assert_eq!(refused(&edit(1)), format!("audit log: changed: {changed}"));
        let edit = |l: &mut Vec<String>| l[2] = l[2].replace("\"at\"", " \"at\"");
        assert_eq!(refused(&edit), "audit log: entry 2 is not an entry as the server writes them");
        let more = |l: &mut Vec<String>| l.push(l[8].replace(":8", ":9"));
        assert_eq!(refused(&more), "audit log: entries from 9 on were never signed");
    }

    #[test]
    fn a_second_history_signed_by_the_same_key_is_a_fork() {
        let kept = Log::of(5).checkpoint();
        let mut other = Log::of(3);
        for _ in 0..6 {
            other.append("something else");
        }
        let fault = other.review(&other.checkpoint(), std::slice::from_ref(&kept)).unwrap_err();
        assert_eq!(fault, "audit log: forked: an earlier checkpoint of 5 entries was signed for other entries");
        let short = Log::of(2);
        let fault = short.review(&short.checkpoint(), &[kept]).unwrap_err();
        assert_eq!(fault, "audit log: rolled back: 2 entries are signed now, 5 were before");
    }

    #[test]
    fn a_proof_holds_for_its_entry_alone() {
        let log = Log::of(11);
        let (checkpoint, key) = (log.checkpoint(), log.signer.key());
        let leaves: Vec<_> = log.lines.iter().map(|line| Line::leaf_of(line)).collect();
        for index in 0..11 {
            let text = proof::prove(&leaves, &log.lines[index], index, &checkpoint).unwrap();
            let (line, signed) = proof::check(&text, key).unwrap();
            assert_eq!((line.text(), signed.size), (log.lines[index].clone(), 11));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(proof::check(&text, key).is_err(), "byte {at}: {text}");
                }
            }
        }
        assert!(proof::prove(&leaves, &log.lines[0], 11, &checkpoint).is_none());
        let shorter = proof::prove(&leaves[..9], &log.lines[3], 3, &checkpoint).unwrap();
        assert_eq!(proof::check(&shorter, key), Err(proof::ProofError::NotInTheLog));
    }
}
