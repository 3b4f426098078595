//! The serial loader of a chip, ROM and stub.

use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::Efuses;
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_chip::uart::{Strap, Uart};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;

/// The first byte picks a chip, the rest is what the peer sends, piece by piece and without reading much: the chip must
/// not hold more for it than it may, and burn no bit twice differently.
pub fn serial_loader(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let chip = Chip::ALL[usize::from(*choice) % Chip::ALL.len()];
    let fault = Fault::default();
    let Ok(flash) = Flash::erased(FlashLen(0x8000), fault.clone()) else { return };
    let efuses = Efuses::from_image(&EfuseImage::blank(chip), fault.clone());
    let mut uart = Uart::new(VirtualChip::from_parts(flash, efuses.clone(), fault), Strap::Download);
    uart.reset();
    let before = efuses.image().ok();
    for piece in bytes.chunks(97) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = uart.receive(rest);
            rest = &rest[taken..];
            let (sent, _) = uart.send();
            assert!(sent.len() < MOST, "{} bytes wait for a peer that sent {}", sent.len(), piece.len());
        }
    }
    let _changes = uart.changes();
    if let (Some(before), Some(after)) = (before, efuses.image().ok()) {
        let lost = before.registers().iter().zip(after.registers()).any(|(before, after)| before & !after != 0);
        assert!(!lost, "an eFuse went back to 0");
    }
}

const MOST: usize = 0x3_0000;
