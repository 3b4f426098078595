//! `cargo xtask firmware --run`: the committed images, executed, and what they print and leave in flash.
//!
//! | file | noun |
//! |---|---|
//! | `machine` | QEMU's core in plain memory, with an image in it |
//! | `process` | that QEMU |
//! | `gdb` | how it is told what to do |
//! | `rom` | the boot ROM's functions that the images call |
//! | `registers` | the peripheral registers that the images wait for |
//! | `csr` | the control registers of Espressif's core |
//! | `flash` | the flash part |
//! | `device` | a provisioned device's flash, and the opening of its packets |
//!
//! The instructions executed are those of the images; ROM, peripherals and flash are as these files describe them. What
//! that proves and what not is in firmware/README.md.

mod csr;
mod device;
mod flash;
mod gdb;
mod machine;
mod process;
mod registers;
mod rom;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cotter_formats::addr::FlashAddr;
use cotter_formats::otadata::{OtaEntry, OtaState};
use cotter_wire::packet::Packet;
use cotter_wire::reading::Reading;

use crate::firmware::{Checked, Expected, PROGRAMS};
use crate::qemu;
use device::Device;
use flash::Flash;
use machine::{Cut, End, Machine, Phase, Run};

/// Runs every committed image and checks what it does.
///
/// # Errors
/// An image does something else than its program says.
pub(crate) fn check(folder: &Path) -> Result<Checked> {
    let qemu = match qemu::install() {
        Ok(version) => version,
        Err(missing) => return Ok(Checked::NotRun(format!("{missing:#}"))),
    };
    let mut applications = Vec::new();
    for program in PROGRAMS {
        let image = fs::read(folder.join(program.image)).with_context(|| format!("{} is missing", program.image))?;
        match program.expected {
            Expected::Boot { banner } => boot(&image, banner).with_context(|| program.image)?,
            Expected::Application { version, secure_version, fault } => {
                let application = Application { image, version, secure_version, fault };
                application.on_a_blank_board().with_context(|| format!("{} on a blank board", program.image))?;
                application.on_a_device().with_context(|| format!("{} on a provisioned device", program.image))?;
                applications.push(application);
            }
        }
    }
    let [first, rest @ ..] = applications.as_slice() else { bail!("there are no applications") };
    for update in rest {
        update.on_trial(first).with_context(|| format!("{} on trial after {}", update.version, first.version))?;
    }
    let [good, ..] = rest else { bail!("there is no update") };
    let cuts = good.survives_power_cuts(first).with_context(|| format!("{} with power cuts", good.version))?;
    Ok(Checked::Holds(format!(
        "{} images executed on {qemu}: packets opened, nonces counted, an update confirmed, one rolled back, {cuts} power cuts survived",
        PROGRAMS.len()
    )))
}

fn boot(image: &[u8], banner: &str) -> Result<()> {
    let mut flash = Flash::erased();
    flash.program(0, image)?;
    let run = Machine::start(&mut flash, FlashAddr(0), banner)?.run()?;
    show("boot image", &run);
    ensure!(run.printed == format!("{banner}\r\n"), "it prints {:?}", run.printed);
    ensure!(run.end == End::Idle, "it ends with {:?}", run.end);
    Ok(())
}

/// An application image and what its program says about it.
struct Application {
    image: Vec<u8>,
    version: &'static str,
    secure_version: u32,
    /// What its self-test must find.
    fault: Option<&'static str>,
}

impl Application {
    /// A board with nothing in its flash but this image: it shows a packet of nobody.
    fn on_a_blank_board(&self) -> Result<()> {
        let mut flash = Flash::erased();
        flash.program(DEVELOPMENT_SLOT.0, &self.image)?;
        let run = Machine::start(&mut flash, DEVELOPMENT_SLOT, self.version)?.run()?;
        show(&format!("{} on a blank board", self.version), &run);
        let rest = self.introduction(&run)?;
        let [why, packet] = rest.as_slice() else { bail!("it prints {:?}", run.printed) };
        ensure!(why.starts_with("unprovisioned: "), "it prints {why:?}");
        let packet = packet.strip_prefix("development ").with_context(|| format!("it prints {packet:?}"))?;
        let packet = Packet::parse(packet.as_bytes())?;
        ensure!(packet.device().as_str() == "development", "a packet of {}", packet.device());
        ensure!(run.end == End::Idle, "it ends with {:?}", run.end);
        Ok(())
    }

    /// Two boots of one device: two packets that open under its keys, with the next nonce each.
    fn on_a_device(&self) -> Result<()> {
        let device = Device::new()?;
        let mut flash = device.flash(&[&self.image], &[OtaEntry::ERASED; 2])?;
        for boot in 1..=2 {
            let seed = format!("{} boot {boot}", self.version);
            let run = Machine::start(&mut flash, device.slot(0)?, &seed)?.run()?;
            show(&format!("{} on a provisioned device, boot {boot}", self.version), &run);
            let rest = self.introduction(&run)?;
            let [packet] = rest.as_slice() else { bail!("it prints {:?}", run.printed) };
            ensure!(self.opens(&device, packet)? == boot, "at boot {boot} it prints {packet}");
            ensure!(run.end == End::Idle, "it ends with {:?}", run.end);
        }
        Ok(())
    }

    /// Booted from the second slot for the first time, after `before` in the first: it stays if it is good.
    fn on_trial(&self, before: &Self) -> Result<()> {
        let device = Device::new()?;
        let otadata = [OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::PENDING_VERIFY)];
        let mut flash = device.flash(&[&before.image, &self.image], &otadata)?;
        let run = Machine::start(&mut flash, device.slot(1)?, self.version)?.run()?;
        show(&format!("{} on trial", self.version), &run);
        let rest = self.introduction(&run)?;
        let [slots_before, trial] = device.otadata(&flash)?;
        ensure!(slots_before == otadata[0], "the slot of {} is now {slots_before:?}", before.version);
        if self.fault.is_none() {
            let [verdict, packet] = rest.as_slice() else { bail!("it prints {:?}", run.printed) };
            ensure!(*verdict == "update: confirmed", "it prints {verdict:?}");
            ensure!(self.opens(&device, packet)? == 1, "it prints {packet}");
            ensure!(trial.state == OtaState::VALID, "its slot is {:?}", trial.state);
            ensure!(run.end == End::Idle, "it ends with {:?}", run.end);
        } else {
            ensure!(rest == ["update: rolling back"], "it prints {:?}", run.printed);
            ensure!(trial.state == OtaState::INVALID, "its slot is {:?}", trial.state);
            ensure!(run.end == End::Reset, "it ends with {:?}", run.end);
        }
        Ok(())
    }

    /// Checks the two lines about itself; returns the others.
    fn introduction<'r>(&self, run: &'r Run) -> Result<Vec<&'r str>> {
        let mut lines = run.printed.lines().map(str::trim_end);
        let name = format!("cotter-app {} secure_version {}", self.version, self.secure_version);
        let verdict = match self.fault {
            None => "self-test: passed".to_owned(),
            Some(fault) => format!("self-test: failed: {fault}"),
        };
        for expected in [name, verdict] {
            ensure!(lines.next() == Some(&*expected), "instead of {expected:?} it prints\n{}", run.printed);
        }
        Ok(lines.collect())
    }

    /// The same with a power supply that fails at one flash operation after the other, in the middle of it or before it.
    /// The next boot must be that of a device in order, whose packet has a nonce of its own. Returns how often it failed.
    fn survives_power_cuts(&self, before: &Self) -> Result<usize> {
        let device = Device::new()?;
        let otadata = [OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::PENDING_VERIFY)];
        let fresh = device.flash(&[&before.image, &self.image], &otadata)?;
        let whole = Machine::start(&mut fresh.clone(), device.slot(1)?, self.version)?.run()?;
        let mut cuts = Vec::new();
        for operation in 0..whole.operations {
            cuts.extend([Phase::Before, Phase::Torn].map(|phase| Cut { operation, phase }));
        }
        let mut confirmed = 0;
        for &cut in &cuts {
            let mut flash = fresh.clone();
            let run = Machine::start(&mut flash, device.slot(1)?, self.version)?.with_cut(cut).run()?;
            ensure!(run.end == End::PowerLost, "{cut:?}: it ends with {:?}", run.end);
            ensure!(
                !run.printed.contains("\"nonce\""),
                "{cut:?}: a packet before its nonce was stored: {}",
                run.printed
            );
            let slot = device.second_stage(&mut flash)?;
            let booted = if slot == 0 { before } else { self };
            confirmed += slot;
            let run = Machine::start(&mut flash, device.slot(slot)?, "after the cut")?.run()?;
            booted.recovers(&device, &run).with_context(|| format!("{cut:?}, then {}", booted.version))?;
        }
        println!("{} on trial, power cut {} times: {confirmed} times it stayed", self.version, cuts.len());
        ensure!((1..cuts.len()).contains(&confirmed), "of {} cuts {confirmed} left it confirmed", cuts.len());
        Ok(cuts.len())
    }

    /// The boot after a power cut in a device's first one.
    fn recovers(&self, device: &Device, run: &Run) -> Result<()> {
        let rest = self.introduction(run)?;
        let [packet] = rest.as_slice() else { bail!("it prints {:?}", run.printed) };
        ensure!((1..=2).contains(&self.opens(device, packet)?), "it prints {packet}");
        ensure!(run.end == End::Idle, "it ends with {:?}", run.end);
        Ok(())
    }

    /// Opens a packet of this device and this application; returns how far its nonce is above the floor. A boot counts
    /// itself and takes one nonce; a power cut in between may lose one of the two.
    fn opens(&self, device: &Device, packet: &str) -> Result<u32> {
        let (nonce, reading) = device.open(packet)?;
        let used = nonce.0.checked_sub(Device::NONCE_FLOOR).with_context(|| format!("nonce {nonce}"))?;
        let Reading { boot_count, firmware, secure_version, .. } = reading;
        ensure!(used > 0 && boot_count.abs_diff(used) <= 1, "nonce {nonce} at boot {boot_count}");
        ensure!(firmware.text() == self.version, "the reading is by version {firmware}");
        ensure!(secure_version.0 == self.secure_version, "the reading is by secure_version {secure_version}");
        ensure!(reading.value(0) == Some(2302), "register 0 reads {:?}", reading.value(0));
        Ok(used)
    }
}

fn show(what: &str, run: &Run) {
    println!("{what} ({:?}):", run.end);
    for line in run.printed.lines() {
        println!("    {line}");
    }
}

/// Where a board without a partition table has its image: the default of espflash.
const DEVELOPMENT_SLOT: FlashAddr = FlashAddr(0x1_0000);
