//! `+++` between two silences: how data mode ends where there is nothing better.
//!
//! On the module this is the UART's pattern detector. It sits below any cipher: it looks at the wire, and what it takes is
//! never deciphered. Source: esp-at (July 2026) `docs/en/AT_Command_Set/TCP-IP_AT_Commands.rst`, `+++`;
//! `main/interface/uart/at_uart_task.c`.

use std::time::{Duration, Instant};

/// The silence before, and the one behind. Between the three there is less.
pub const GUARD: Duration = Duration::from_millis(20);

/// Watches bytes and the silences between them.
#[derive(Debug, Default)]
pub struct Escape {
    /// `+` that may be one.
    held: usize,
    /// When the last byte came.
    last: Option<Instant>,
}

/// What is known by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// These were data; some more may still be held back.
    Data(Vec<u8>),
    /// Data mode is to end.
    Escape,
}

impl Escape {
    /// Takes bytes that came at once.
    #[must_use]
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Seen {
        let was_silent = self.is_silent(now);
        let mut data = vec![b'+'; std::mem::take(&mut self.held)];
        self.last = Some(now);
        let could_begin = data.is_empty() && was_silent || !data.is_empty() && !was_silent;
        let total = data.len() + bytes.len();
        if could_begin && (1..=3).contains(&total) && bytes.iter().all(|byte| *byte == b'+') {
            self.held = total;
            return Seen::Data(Vec::new());
        }
        data.extend(bytes);
        Seen::Data(data)
    }

    /// Silence, until now. To be called before [`Self::receive`] too.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> Seen {
        if self.held == 0 || !self.is_silent(now) {
            return Seen::Data(Vec::new());
        }
        match std::mem::take(&mut self.held) {
            3 => Seen::Escape,
            held => Seen::Data(vec![b'+'; held]),
        }
    }

    /// What is held back is data after all: data mode is over.
    #[must_use]
    pub fn release(&mut self) -> Vec<u8> {
        vec![b'+'; std::mem::take(&mut self.held)]
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) > GUARD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces with the milliseconds before each; then what came out, and whether data mode ended.
    fn run(pieces: &[(u64, &str)]) -> (String, bool) {
        let (mut escape, mut now, mut data) = (Escape::default(), Instant::now(), Vec::new());
        for (silence, piece) in pieces {
            now += Duration::from_millis(*silence);
            match escape.tick(now) {
                Seen::Escape => return (String::from_utf8_lossy(&data).into_owned(), true),
                Seen::Data(more) => data.extend(more),
            }
            match escape.receive(piece.as_bytes(), now) {
                Seen::Data(more) => data.extend(more),
                Seen::Escape => unreachable!("only silence ends data mode"),
            }
        }
        let ended = escape.tick(now + GUARD * 2) == Seen::Escape;
        (String::from_utf8_lossy(&data).into_owned(), ended)
    }

    #[test]
    fn three_between_two_silences_end_data_mode() {
        assert_eq!(run(&[(0, "+++")]), (String::new(), true));
        assert_eq!(run(&[(0, "data"), (30, "+++"), (30, "x")]), ("data".to_owned(), true));
        assert_eq!(run(&[(0, "data"), (30, "+"), (5, "++")]), ("data".to_owned(), true));
    }

    #[test]
    fn anything_else_is_data() {
        for (pieces, text) in [
            (&[(0, "data"), (5, "+++")][..], "data+++"),
            (&[(30, "++++")], "++++"),
            (&[(30, "+++"), (5, "\r\n")], "+++\r\n"),
            (&[(30, "+"), (30, "++"), (30, "x")], "+++x"),
            (&[(30, "++"), (30, "x")], "++x"),
            (&[(30, "+++"), (5, "+"), (30, "x")], "++++x"),
        ] {
            assert_eq!(run(pieces), (text.to_owned(), false), "{pieces:?}");
        }
    }
}
