//! A virtual chip on a line, and the tools at the other end.
#![allow(dead_code, reason = "each test file needs a part of it")]

use cotter_chip::board::VirtualChip;
use cotter_chip::uart::{Strap, Uart};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage};
use cotter_interop::{ToolRun, tools};
use cotter_twin::serial_port::{LineEvent, SerialPort};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const MAC: [u8; 6] = [0x58, 0xcf, 0x79, 0xaa, 0xbb, 0xcc];

/// The chips, and the ESP32 once more as it was before v3.
pub(crate) fn boards() -> Vec<VirtualChip> {
    let simulated = Chip::ALL.into_iter().filter_map(|chip| VirtualChip::new(chip, MAC).ok());
    let boards: Vec<_> = simulated.chain(VirtualChip::of_revision(Chip::Esp32, ChipRevision(100), MAC)).collect();
    assert_eq!(boards.len(), 11);
    boards
}

/// A chip in download mode on a line.
pub(crate) struct Bench {
    pub(crate) board: VirtualChip,
    /// What tools open.
    pub(crate) port: String,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Bench {
    pub(crate) fn on_a_socket(board: &VirtualChip) -> Self {
        let port = SerialPort::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let name = format!("socket://{}", port.address().unwrap());
        Self::serve(board, port, name)
    }

    pub(crate) fn on_a_terminal(board: &VirtualChip, link: &Path) -> Self {
        Self::serve(board, SerialPort::terminal(link).unwrap(), link.display().to_string())
    }

    fn serve(board: &VirtualChip, mut port: SerialPort, name: String) -> Self {
        let quit = Arc::new(AtomicBool::new(false));
        let asked = quit.clone();
        let mut uart = Uart::new(board.clone(), Strap::Download);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 0x1000];
            let mut printed = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                let mut rest: &[u8] = match port.wait(&mut buffer, Duration::from_millis(20)).unwrap() {
                    LineEvent::Opened => {
                        uart.reset();
                        &[]
                    }
                    LineEvent::Lines(lines) => {
                        uart.set_modem_lines(lines.dtr, lines.rts);
                        &[]
                    }
                    LineEvent::Bytes(count) => &buffer[..count],
                    LineEvent::Closed | LineEvent::Quiet => &[],
                };
                loop {
                    let taken = uart.receive(rest);
                    rest = &rest[taken..];
                    port.write(&uart.send().0).unwrap();
                    if rest.is_empty() {
                        break;
                    }
                }
                printed.extend(uart.lines());
            }
            printed
        });
        Self { board: board.clone(), port: name, quit, thread: Some(thread) }
    }

    /// Ends it; returns what the chip has printed.
    pub(crate) fn stop(&mut self) -> Vec<String> {
        self.quit.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn esptool(&self, command: &str) -> ToolRun {
        tools().esptool(["-p", &self.port].into_iter().chain(command.split(' ')))
    }

    pub(crate) fn espefuse(&self, command: &str) -> ToolRun {
        let chip = self.board.chip().name();
        tools().espefuse(["--chip", chip, "-p", &self.port, "--do-not-confirm"].into_iter().chain(command.split(' ')))
    }

    pub(crate) fn flash(&self, addr: usize, len: usize) -> Vec<u8> {
        self.board.external_readout()[addr..addr + len].to_vec()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The blocks of a register file; what a burn leaves beside them the real controller forgets at a reset.
pub(crate) fn blocks(image: &EfuseImage) -> Vec<Vec<u8>> {
    image.map().block_numbers().map(|block| image.block(block).unwrap().to_vec()).collect()
}
