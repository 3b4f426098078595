//! UART0 of a chip that is kept alive: what it prints, and who answers on it.
//!
//! Sans-IO, like [`crate::loader`], which answers while the chip is in download mode. An application that was booted is
//! not executed: then nobody answers.

use crate::board::VirtualChip;
use crate::loader::{Loader, Next};
use crate::report::{BootReport, RefusalCode};
use crate::rom::DownloadMode;

/// A chip with power, or without, and its serial line.
#[derive(Debug)]
pub struct Uart {
    board: VirtualChip,
    strap: Strap,
    /// In reset, as long as the peer says.
    held: bool,
    state: State,
    out: Vec<u8>,
    lines: Vec<String>,
    seen: Seen,
    changes: Changes,
}

/// What the strap pins ask for at a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strap {
    /// The boot button is held: the serial loader.
    Download,
    /// What is in flash.
    Run,
}

/// What a reset led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The loader waits, or download mode is switched off.
    Download(Result<DownloadMode, RefusalCode>),
    /// The flash was booted, or refused.
    Flash(Box<BootReport>),
}

/// What has changed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// eFuses may have been burned.
    pub efuses: bool,
    /// Flash may have been written.
    pub flash: bool,
}

#[derive(Debug)]
enum State {
    Off,
    Loader(Box<Loader>),
    /// An application runs, or the ROM has stopped.
    Deaf,
}

/// Counts at the last look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    operations: u64,
    /// Of the present loader.
    burns: u64,
}

impl Uart {
    /// A chip without power.
    #[must_use]
    pub fn new(board: VirtualChip, strap: Strap) -> Self {
        let seen = Seen { operations: board.fault().operations(), burns: 0 };
        let changes = Changes::default();
        Self { board, strap, held: false, state: State::Off, out: Vec::new(), lines: Vec::new(), seen, changes }
    }

    /// The board.
    #[must_use]
    pub const fn board(&self) -> &VirtualChip {
        &self.board
    }

    /// Holds or releases the boot button; it counts at the next reset.
    pub const fn set_strap(&mut self, strap: Strap) {
        self.strap = strap;
    }

    /// What the strap pins ask for.
    #[must_use]
    pub const fn strap(&self) -> Strap {
        self.strap
    }

    /// True if there is no power.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// Switches power on if it is off, and resets.
    pub fn reset(&mut self) -> Start {
        self.start(self.strap)
    }

    /// The peer drives DTR and RTS, as the two transistors of development boards turn them into buttons: RTS without DTR
    /// holds the chip in reset; when RTS lets go, DTR holds the boot button.
    pub fn set_modem_lines(&mut self, dtr: bool, rts: bool) -> Option<Start> {
        self.held |= rts && !dtr;
        if rts || !std::mem::take(&mut self.held) {
            return None;
        }
        Some(self.start(if dtr { Strap::Download } else { Strap::Run }))
    }

    /// Cuts the power, between two operations.
    pub fn power_off(&mut self) {
        self.board.fault().cut_now();
        self.look();
        self.state = State::Off;
        self.seen.burns = 0;
        self.out.clear();
    }

    /// Takes bytes from the peer and returns how many; see [`Loader::receive`]. Nobody reads them unless the chip is in
    /// download mode.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Loader(loader) => loader.receive(bytes),
            State::Off | State::Deaf => bytes.len(),
        }
    }

    /// What is to be sent to the peer now. If a command asked for a reset, it is done, and told.
    pub fn send(&mut self) -> (Vec<u8>, Option<Start>) {
        let mut out = std::mem::take(&mut self.out);
        let State::Loader(loader) = &mut self.state else { return (out, None) };
        out.append(&mut loader.send());
        let started = match loader.next() {
            None => None,
            Some(Next::Reset) => Some(self.start(self.strap)),
            Some(Next::Run) => Some(self.start(Strap::Run)),
            Some(Next::PowerLost) => {
                self.power_off();
                None
            }
        };
        out.append(&mut self.out);
        (out, started)
    }

    /// The lines that were printed since the last call.
    pub fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> Changes {
        self.look();
        std::mem::take(&mut self.changes)
    }

    fn look(&mut self) {
        let burns = match &self.state {
            State::Loader(loader) => loader.burns(),
            State::Off | State::Deaf => self.seen.burns,
        };
        let operations = self.board.fault().operations();
        let made = operations.saturating_sub(self.seen.operations);
        let burned = burns.saturating_sub(self.seen.burns);
        self.changes.efuses |= burned > 0;
        self.changes.flash |= made > burned;
        self.seen = Seen { operations, burns };
    }

    fn start(&mut self, strap: Strap) -> Start {
        self.look();
        let (start, lines) = match strap {
            Strap::Run => {
                let report = self.board.power_on();
                self.state = State::Deaf;
                let lines = report.lines.clone();
                (Start::Flash(Box::new(report)), lines)
            }
            Strap::Download => {
                let (mode, lines) = self.board.wait_for_download();
                let loader = mode.ok().and_then(|_| Loader::new(&self.board).ok());
                self.state = loader.map_or(State::Deaf, |loader| State::Loader(Box::new(loader)));
                (Start::Download(mode), lines)
            }
        };
        // A boot may write both.
        let operations = self.board.fault().operations();
        let changed = operations != self.seen.operations;
        self.changes = Changes { efuses: self.changes.efuses || changed, flash: self.changes.flash || changed };
        self.seen = Seen { operations, burns: 0 };
        self.out.clear();
        for line in &lines {
            self.out.extend_from_slice(line.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
        self.lines.extend(lines);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::chip::Chip;
    use cotter_formats::efuse::EfuseBlock;

    fn uart(strap: Strap) -> Uart {
        Uart::new(VirtualChip::new(Chip::Esp32C3, [2; 6]).unwrap(), strap)
    }

    #[test]
    fn dtr_and_rts_are_the_two_buttons_of_a_board() {
        let mut uart = uart(Strap::Download);
        // esptool's classic sequence, then its hard reset.
        let lines = [(true, true), (false, true), (true, true), (true, false), (false, false), (false, true)];
        let starts: Vec<_> = lines.into_iter().filter_map(|(dtr, rts)| uart.set_modem_lines(dtr, rts)).collect();
        assert_eq!(starts, [Start::Download(Ok(DownloadMode::Full))]);
        let Some(Start::Flash(report)) = uart.set_modem_lines(false, false) else { panic!("not reset") };
        assert_eq!(report.refusal(), Some(RefusalCode::InvalidHeader));
        assert_eq!(uart.lines().last().unwrap(), "invalid header: 0xffffffff");
    }

    #[test]
    fn a_chip_without_power_says_nothing() {
        let mut uart = uart(Strap::Download);
        uart.reset();
        assert!(String::from_utf8(uart.send().0).unwrap().ends_with("waiting for download\r\n"));
        uart.power_off();
        assert_eq!((uart.receive(&[0xc0; 100]), uart.send().0.len(), uart.is_off()), (100, 0, true));
    }

    #[test]
    fn changes_are_told_once() {
        let mut uart = uart(Strap::Download);
        uart.reset();
        assert_eq!(uart.changes(), Changes::default());
        uart.board()
            .raw_flash()
            .erase_at(cotter_formats::addr::FlashAddr(0), cotter_formats::addr::FlashLen(0x1000))
            .unwrap();
        assert_eq!(uart.changes(), Changes { efuses: false, flash: true });
        assert_eq!(uart.changes(), Changes::default());
        uart.board().efuses().program(EfuseBlock(3), &[1; 32]).unwrap();
        uart.reset();
        assert!(uart.changes().flash, "a change that no loader made is taken for one of either");
    }

    #[test]
    fn disabled_download_mode_is_told_and_nobody_answers() {
        let mut uart = uart(Strap::Download);
        let mut data = [0; 32];
        cotter_formats::efuse::esp32c3::DIS_DOWNLOAD_MODE.merge(1, &mut data).unwrap();
        uart.board().efuses().program(EfuseBlock::SETTINGS, &data).unwrap();
        assert_eq!(uart.reset(), Start::Download(Err(RefusalCode::DownloadModeDisabled)));
        assert!(uart.lines().iter().any(|line| line == "Download boot modes disabled"));
    }
}
