//! `PROVENANCE.toml` beside the images: which sources and which toolchain made which bytes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::program::{Program, SOURCE_DATE_EPOCH};
use super::stage::{Stage, sha256};
use super::toolchain::Toolchain;

/// The file's content.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    source_date_epoch: u64,
    /// [`Stage::digest`].
    pub(crate) sources: String,
    pub(crate) toolchain: RecordedToolchain,
    image: Vec<RecordedImage>,
}

/// What must be equal for equal bytes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedToolchain {
    rustc: String,
    linker: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RecordedImage {
    file: String,
    size: usize,
    sha256: String,
    /// The same by hand, give or take paths in panic messages.
    commands: String,
}

impl Provenance {
    pub(crate) fn of(toolchain: &Toolchain, stage: &Stage, images: &[(&Program, Vec<u8>)]) -> Self {
        let image = images.iter().map(|(program, image)| RecordedImage {
            file: program.image.to_owned(),
            size: image.len(),
            sha256: sha256(image),
            commands: program.commands(),
        });
        Self {
            source_date_epoch: SOURCE_DATE_EPOCH,
            sources: stage.digest.clone(),
            toolchain: RecordedToolchain { rustc: toolchain.rustc.clone(), linker: toolchain.linker.clone() },
            image: image.collect(),
        }
    }

    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not as `cargo xtask firmware` writes it", path.display()))
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join(FILE), format!("{HEADING}{}", toml::to_string(self)?))?;
        Ok(())
    }

    /// The file is the one that was recorded.
    pub(crate) fn vouches_for(&self, file: &str, image: &[u8]) -> Result<()> {
        let recorded = self.image.iter().find(|image| image.file == file);
        let recorded = recorded.with_context(|| format!("{file} is not in {FILE}"))?;
        let found = sha256(image);
        ensure!(
            (recorded.size, &recorded.sha256) == (image.len(), &found),
            "{file}: {} bytes with sha256 {found}, but {FILE} records {} bytes with {}",
            image.len(),
            recorded.size,
            recorded.sha256
        );
        Ok(())
    }
}

impl RecordedToolchain {
    pub(crate) fn is(&self, toolchain: &Toolchain) -> bool {
        (&self.rustc, &self.linker) == (&toolchain.rustc, &toolchain.linker)
    }

    /// The first part of rustc's own description.
    pub(crate) fn name(&self) -> &str {
        self.rustc.split(';').next().unwrap_or_default()
    }
}

const FILE: &str = "PROVENANCE.toml";
const HEADING: &str = "\
# Written by `cargo xtask firmware`, compared by `cargo xtask firmware --check`.
# sources: SHA-256 over all that is compiled (firmware/{app,boot,bench}, formats, wire, device, Cargo.lock).
# The images are not signed: signing is the factory's act.

";
