//! Attacks by somebody who holds the device in his hands. Each works on a copy of it.

use super::{Attempt, Scene};
use crate::demo::report::Attack;
use crate::demo::workshop::{APP_1_1_0, BOOT};
use anyhow::Context;
use cotter_chip::board::{DownloadError, VirtualChip};
use cotter_chip::report::{Booted, RefusalCode};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use sha2::{Digest, Sha256};

pub(super) fn all(scene: &mut Scene<'_>, attacks: &mut Vec<Attack>) -> anyhow::Result<()> {
    let board = scene.twin.board();
    let running = board.duplicate()?.power_on().booted().context("the device does not boot")?.clone();

    let attempt = Attempt {
        name: "boot image modified on the chip",
        tried: "one bit of the boot image flipped with a clip on the flash part",
        layer: "ROM: Secure Boot V2",
        expected: RefusalCode::HashMismatch.as_str(),
    };
    attacks.push(flip(scene, attempt, FlashAddr(0x30))?);

    let attempt = Attempt {
        name: "application modified on the chip",
        tried: "one bit of the running application changed by code on the chip",
        layer: "second stage: image check",
        expected: RefusalCode::ChecksumMismatch.as_str(),
    };
    attacks.push(patched(scene, attempt, &running, |image| image[INSIDE] ^= 1)?);

    let attempt = Attempt {
        name: "application patched with care",
        tried: "two bytes changed, checksum and SHA-256 mended",
        layer: "second stage: Secure Boot V2",
        expected: RefusalCode::SignedDigestMismatch.as_str(),
    };
    attacks.push(patched(scene, attempt, &running, mended)?);

    let attempt = Attempt {
        name: "plain boot image written",
        tried: "the boot image as the compiler made it",
        layer: "ROM: flash encryption",
        expected: "nothing boots",
    };
    let copy = board.duplicate()?;
    copy.raw_flash().overwrite_externally(FlashAddr(0), BOOT)?;
    // What the ROM sees is noise under this device's key, so for one key in 256 even the magic byte is right.
    let report = copy.power_on();
    let seen = if report.booted().is_none() { "nothing boots" } else { "boots" };
    attacks.push(attempt.saw(seen, report.refusal().map_or("", RefusalCode::as_str), true, scene.format));

    let attempt = Attempt {
        name: "flash read out",
        tried: "the flash part desoldered and read",
        layer: "flash encryption",
        expected: "0 blocks of the application in clear",
    };
    let readout = board.external_readout();
    let start = running.offset.0 as usize;
    let clear = APP_1_1_0.chunks_exact(16).zip(readout[start..].chunks_exact(16)).filter(|(a, b)| a == b).count();
    let strings = [&b"Cotter boot image"[..], b"cotter-app", b"solar-0001"];
    let leaked = strings.iter().filter(|text| readout.windows(text.len()).any(|window| window == **text)).count();
    let seen = format!("{clear} blocks of the application in clear");
    attacks.push(attempt.saw(seen, format!("{leaked} known strings found"), leaked == 0, scene.format));

    let attempt = Attempt {
        name: "flash read through the loader",
        tried: "esptool's way: download mode, read flash",
        layer: "ROM: secure download mode",
        expected: "secure-mode",
    };
    let seen = match board.duplicate()?.power_on_in_download_mode() {
        Err(code) => code.as_str().to_owned(),
        Ok(session) => match session.read_flash(FlashAddr(0), FlashLen(16)) {
            Err(DownloadError::SecureMode) => "secure-mode".to_owned(),
            Err(error) => error.to_string(),
            Ok(_) => "read".to_owned(),
        },
    };
    attacks.push(attempt.saw(seen, "", true, scene.format));
    Ok(())
}

fn flip(scene: &Scene<'_>, attempt: Attempt, at: FlashAddr) -> anyhow::Result<Attack> {
    let copy = scene.twin.board().duplicate()?;
    let mut byte = [0];
    copy.raw_flash().read_at(at, &mut byte)?;
    copy.raw_flash().overwrite_externally(at, &[byte[0] ^ 1])?;
    Ok(verdict(attempt, &copy, scene))
}

/// Rewrites the running application as code on the chip could: encrypted again, for the right addresses.
fn patched(
    scene: &Scene<'_>,
    attempt: Attempt,
    running: &Booted,
    patch: impl FnOnce(&mut [u8]),
) -> anyhow::Result<Attack> {
    let copy = scene.twin.board().duplicate()?;
    let mut flash = copy.transparent_flash();
    let (start, len) = (running.offset.0, running.len.0);
    let mut image = vec![0; len as usize];
    flash.read(start, &mut image)?;
    patch(&mut image);
    // The image is shorter than its padding; the rest of its last sector is erased with it and stays so.
    let end = start + len.next_multiple_of(SECTOR);
    let mut sectors = vec![0; (end - start) as usize];
    flash.read(start, &mut sectors)?;
    sectors[..image.len()].copy_from_slice(&image);
    flash.erase(start, end)?;
    flash.write(start, &sectors)?;
    Ok(verdict(attempt, &copy, scene))
}

/// The same bit of two bytes changes, which the checksum does not see; the appended digest is calculated anew.
fn mended(image: &mut [u8]) {
    image[INSIDE] ^= 1;
    image[INSIDE + 1] ^= 1;
    let (content, digest) = image.split_at_mut(image.len() - 32);
    digest.copy_from_slice(&Sha256::digest(content));
}

/// An offset inside the first segment, behind the descriptors.
const INSIDE: usize = 0x8000;

/// The first thing that the boot refused, and what ran in the end.
fn verdict(attempt: Attempt, chip: &VirtualChip, scene: &Scene<'_>) -> Attack {
    let report = chip.power_on();
    let refusal = report
        .steps
        .iter()
        .find_map(|step| step.refusal)
        .or_else(|| report.refusal())
        .map_or("nothing refused", RefusalCode::as_str);
    let detail = match report.booted() {
        Some(app) => format!("{} {} boots instead, verified: {}", app.slot, app.version, app.is_verified),
        None => "nothing boots".to_owned(),
    };
    let harmless = report.booted().is_none_or(|app| app.is_verified);
    attempt.saw(refusal, detail, harmless, scene.format)
}
