//! `cotter chip`: a virtual chip that is kept alive for other tools, or booted once.

mod boot;
mod run;

use crate::output::{Format, Help};
use anyhow::{Context, anyhow};
use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::{Efuses, cells_file};
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_factory::second_stage::SecondStageFile;
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::ChipRevision;
use std::path::{Path, PathBuf};

/// Keep a virtual chip alive for esptool, espefuse and others, or boot one.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    Boot(boot::Args),
    Run(run::Args),
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Boot(args) => boot::run(args, format),
        Verb::Run(args) => run::run(args, format),
    }
}

#[derive(clap::Args)]
struct SecondStageOption {
    /// What the second stage in flash was compiled with: a file as below, or the project's sdkconfig. Without it nothing
    /// is switched on, and signatures are checked if the eFuses say that Secure Boot V2 is on.
    #[arg(long, value_name = "FILE")]
    second_stage: Option<PathBuf>,
}

impl SecondStageOption {
    const fn is_given(&self) -> bool {
        self.second_stage.is_some()
    }

    /// The board with that second stage.
    fn on(&self, board: VirtualChip) -> anyhow::Result<VirtualChip> {
        let Some(path) = &self.second_stage else { return Ok(board) };
        let config = SecondStageFile::load(path, board.chip())
            .context(Help("cotter chip boot --help shows such a file; an sdkconfig of ESP-IDF will do as well"))?;
        board
            .with_second_stage(config)
            .with_context(|| path.display().to_string())
            .context(Help("menuconfig does not offer this for the chip"))
    }
}

/// The files of a board.
struct BoardFiles {
    chip: Chip,
    flash: Option<PathBuf>,
    efuse: Option<PathBuf>,
}

/// What a board is made of where there is no file.
#[derive(Clone, Copy)]
struct Fresh {
    flash_size: FlashLen,
    /// One that is sold today, unless it is said.
    revision: Option<ChipRevision>,
}

impl BoardFiles {
    /// The board that they hold; what is not there yet is fresh from the factory.
    fn load(&self, fresh: Fresh) -> anyhow::Result<VirtualChip> {
        let fault = Fault::default();
        // Refuses a chip that is not simulated.
        VirtualChip::new(self.chip, FACTORY_MAC).context(Help(SIMULATED))?;
        let efuses = match (existing(self.efuse.as_deref()), self.efuse.as_deref().map(cells_file)) {
            (Some(path), _) => Efuses::load_from(self.chip, path, fault.clone())
                .context(Help("delete the cells file beside it to go on with what the eFuse file itself says"))?,
            (None, Some(cells)) if cells.exists() => {
                return Err(anyhow!("{} exists, but not the eFuse file that belongs to it", cells.display()))
                    .context(Help("delete it, or name another eFuse file"));
            }
            (None, _) => match fresh.revision {
                Some(revision) => Efuses::fresh_of(self.chip, revision, FACTORY_MAC, fault.clone()),
                None => Efuses::fresh(self.chip, FACTORY_MAC, fault.clone()),
            },
        };
        let flash = match existing(self.flash.as_deref()) {
            Some(path) => Flash::load(path, fault.clone())?,
            None => Flash::erased(fresh.flash_size, fault.clone())?,
        };
        Ok(VirtualChip::from_parts(flash, efuses, fault))
    }

    fn save_efuses(&self, board: &VirtualChip) -> anyhow::Result<()> {
        Ok(self.efuse.as_deref().map_or(Ok(()), |path| board.efuses().save_as(path))?)
    }

    fn save_flash(&self, board: &VirtualChip) -> anyhow::Result<()> {
        Ok(self.flash.as_deref().map_or(Ok(()), |path| board.raw_flash().save(path))?)
    }
}

/// What a chip gets whose eFuse file is not there yet: a locally administered address.
const FACTORY_MAC: [u8; 6] = [0x02, 0xc0, 0x77, 0xe8, 0x00, 0x01];

const SIMULATED: &str =
    "esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c5, esp32c6, esp32c61, esp32h2, esp32p4 are simulated";

fn existing(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| path.exists())
}

fn chip(name: &str) -> anyhow::Result<Chip> {
    let known = || Chip::ALL.map(Chip::name).join(", ");
    Chip::from_name(name).ok_or_else(|| anyhow!("{name} is none of {}", known()))
}
