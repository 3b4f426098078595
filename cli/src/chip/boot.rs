//! `cotter chip boot`: one power-on of a virtual chip, step by step.

use super::{BoardFiles, Fresh};
use crate::output::{self, Format, Help};
use anyhow::{Context, anyhow};
use cotter_chip::report::{BootReport, Outcome, Stage};
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Switch a virtual chip on once: what ROM and second stage check, what they print, and what runs or why nothing does.
///
/// What the boot itself changes (otadata, flash that it encrypts, eFuses that it burns) is written back to the files.
/// Ends with 1 if nothing boots.
///
/// A second stage that switches flash encryption or Secure Boot on does so on its first boot: say with --second-stage
/// what it was compiled with, because code in flash is not executed.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The chip.
    #[arg(long, value_parser = super::chip)]
    chip: Chip,
    /// Its flash contents, from address 0.
    #[arg(long, value_name = "FILE")]
    flash: PathBuf,
    /// Its eFuses, in espefuse's --virt format. What software cannot read is in F-cells.bin beside F.bin; without that
    /// file, keys that are hidden are lost. Without any file the chip is fresh from the factory; with --second-stage the
    /// file is made if it is not there.
    #[arg(long, value_name = "FILE")]
    efuse: Option<PathBuf>,
    #[command(flatten)]
    second_stage: super::SecondStageOption,
    /// Leave the files as they are.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  cotter chip boot --chip esp32c3 --flash flash.bin --efuse efuse.bin
  cotter chip boot --chip esp32c3 --flash flash.bin --efuse efuse.bin --second-stage sdkconfig
  cotter chip boot --chip esp32c3 --flash flash.bin --second-stage second-stage.toml --dry-run --json

second-stage.toml, for a first boot that switches everything on:
  nvs-keys = { hmac = 3 }          # or \"partition\"
  [secure-boot]
  scheme = \"v2\"                  # v1 with verification-key = \"key.pem\"
  [flash-encryption]
  mode = \"release\"               # or development";

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    // A first boot may make the eFuse file; it must not forget the key that it encrypts the flash with.
    let first_boot = args.second_stage.is_given();
    if first_boot && args.efuse.is_none() && !args.dry_run {
        return Err(anyhow!("a first boot burns keys, and there is no file for the eFuses"))
            .context(Help("name one with --efuse, which is made if it is not there; or look on with --dry-run"));
    }
    for path in [Some(&args.flash), args.efuse.as_ref().filter(|_| !first_boot)].into_iter().flatten() {
        anyhow::ensure!(path.exists(), "{} does not exist", path.display());
    }
    let files = BoardFiles { chip: args.chip, flash: Some(args.flash.clone()), efuse: args.efuse.clone() };
    let board = files
        .load(Fresh { flash_size: FlashLen(0), revision: None })
        .context(Help("a flash file is the whole flash from address 0: esptool merge-bin --pad-to-size makes one"))?;
    let board = args.second_stage.on(board)?;
    let report = board.power_on();
    let changed = board.fault().operations() > 0;
    if changed && !args.dry_run {
        files.save_flash(&board)?;
        files.save_efuses(&board)?;
    }
    let boots = report.booted().is_some();
    output::value(&Shown { report, saved: changed && !args.dry_run }, format)?;
    Ok(boots)
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    report: BootReport,
    /// The boot changed flash or eFuses, and the files have it.
    saved: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.report.lines {
            writeln!(f, "| {line}")?;
        }
        for step in &self.report.steps {
            let stage = match step.stage {
                Stage::Rom => "ROM",
                Stage::SecondStage => "second stage",
                Stage::Application => "application",
            };
            write!(f, "{stage:<12}  {}", step.what)?;
            if let Some(slot) = step.slot {
                write!(f, " {slot}")?;
            }
            write!(f, ": {}", step.found)?;
            match step.refusal {
                Some(code) => writeln!(f, " [{code}]")?,
                None => writeln!(f)?,
            }
        }
        if self.saved {
            writeln!(f, "the boot changed flash or eFuses, and the files have it")?;
        }
        match &self.report.outcome {
            Outcome::Booted(booted) => {
                let verified = if booted.is_verified { "verified" } else { "not verified" };
                let (name, version, slot) = (&booted.project_name, &booted.version, booted.slot);
                write!(f, "boots {name} {version} from {slot} at {:#x}, {verified}", booted.offset.0)
            }
            Outcome::Refused(code) => write!(f, "does not boot: {code}"),
        }?;
        match &self.report.stranded {
            Some(stranded) => write!(f, "\n{stranded}"),
            None => Ok(()),
        }
    }
}
