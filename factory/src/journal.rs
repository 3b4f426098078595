//! What was done to which chip, one JSON line a step, on disk before the step and after it. No secrets.

use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// An append-only file.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Entry<'a> {
    /// A birth begins.
    Begun {
        /// Device id.
        device: &'a str,
        /// Chip name.
        chip: &'a str,
        /// How many steps the plan has.
        steps: usize,
    },
    /// The personalisation of a secure element begins, or goes on.
    Personalising {
        /// Serial number.
        part: &'a str,
        /// The digest of its plan.
        plan: &'a str,
        /// How many steps the plan has.
        steps: usize,
    },
    /// A secure element has made a private key.
    KeyCreated {
        /// Where.
        slot: u8,
        /// X and Y, in hexadecimal.
        public_key: &'a str,
    },
    /// A step is about to be done. After a crash, the last one of these without its `done` is the doubtful one.
    Started {
        /// Its number, from 1.
        step: usize,
        /// What it is.
        title: &'a str,
        /// True if nothing undoes it.
        irreversible: bool,
    },
    /// The step is done and was read back.
    Done {
        /// Its number.
        step: usize,
    },
    /// The step failed.
    Failed {
        /// Its number.
        step: usize,
        /// Why.
        reason: &'a str,
    },
    /// The device was born.
    Finished {
        /// Device id.
        device: &'a str,
    },
}

impl Journal {
    /// Opens or creates the file; what it holds stays. A line that was cut short is ended, so that the next one is whole.
    ///
    /// # Errors
    /// I/O.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self { file })
    }

    /// Appends one line and waits until it is on disk.
    ///
    /// # Errors
    /// I/O; the caller must not go on to anything irreversible.
    pub fn record(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            time: u64,
            #[serde(flatten)]
            entry: &'a Entry<'a>,
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut line = serde_json::to_vec(&Line { time, entry })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_an_earlier_run_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        for step in 1..=2 {
            Journal::open(&path).unwrap().record(&Entry::Done { step }).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap())
            .collect();
        assert_eq!(steps, [1, 2]);
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, "{\"time\":1,\"ev").unwrap();
        Journal::open(&path).unwrap().record(&Entry::Done { step: 7 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let [torn, whole] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(torn, "{\"time\":1,\"ev");
        assert_eq!(serde_json::from_str::<serde_json::Value>(whole).unwrap()["step"], 7);
    }
}
