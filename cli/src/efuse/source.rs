//! Where eFuses are read from: espefuse's virtual file, its dumps and tokens, a register image.

use crate::file::File;
use crate::output::Help;
use anyhow::{Context, bail};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::dump::{from_blocks, from_joint, from_text, joint_len};
use cotter_formats::efuse::token::EfuseToken;
use cotter_formats::efuse::{EfuseImage, EfuseMap};
use serde::Serialize;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How eFuses are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The file of `espefuse --virt --path-efuse-file`: the register file, byte-reversed.
    Virt,
    /// The register file as it is in memory.
    Registers,
    /// What `espefuse dump` prints: a line of words for each block, or a line of bytes.
    Text,
    /// One file with all blocks: `espefuse dump --format joint --file-name F`.
    Joint,
    /// A file for each block, F0.bin, F1.bin and so on: `espefuse dump --format split --file-name F.bin`.
    Split,
    /// EFSR, EFSW or EFSRW: `espefuse dump --format token`.
    Token,
}

/// eFuses that were read.
pub(crate) struct Source {
    pub(crate) image: EfuseImage,
    pub(crate) form: Form,
}

/// How to read a file.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The chip; a token names its own.
    #[arg(long, value_parser = super::chip)]
    pub(crate) chip: Option<Chip>,
    /// How the file is written [default: tokens, texts and joint files are recognised, anything else is virt].
    #[arg(long, value_enum)]
    pub(crate) form: Option<Form>,
}

impl Options {
    pub(crate) fn read(&self, file: &File) -> anyhow::Result<Source> {
        if self.form == Some(Form::Split) {
            return self.read_split(file);
        }
        let literal = file.to_string();
        let bytes = Zeroizing::new(if literal.starts_with("EFS") && literal.contains(':') {
            literal.into_bytes()
        } else {
            file.read()?
        });
        let what =
            if matches!(file, File::Path(path) if path.exists()) { file.to_string() } else { "input".to_owned() };
        self.parse(&bytes).context(what)
    }

    fn parse(&self, bytes: &[u8]) -> anyhow::Result<Source> {
        let text = std::str::from_utf8(bytes).ok();
        let is_token = text.is_some_and(|text| text.trim_start().starts_with("EFS"));
        // espefuse prints a banner before the token.
        let token = text.and_then(|text| text.lines().find(|line| line.trim_start().starts_with("EFS")));
        let form = self.form.unwrap_or_else(|| self.recognise(bytes, is_token || token.is_some()));
        if form == Form::Token {
            let token = EfuseToken::parse(token.or(text).unwrap_or_default())?;
            let named = token.image.map().chip;
            if let Some(chip) = self.chip.filter(|chip| *chip != named) {
                bail!("the token is of an {named}, not of an {chip}");
            }
            return Ok(Source { image: token.image, form });
        }
        let chip = self.chip()?;
        let image = match form {
            Form::Virt => EfuseImage::from_virtual_file(chip, bytes)?,
            Form::Registers => EfuseImage::from_registers(chip, bytes)?,
            Form::Joint | Form::Split => from_joint(chip, bytes)?,
            Form::Text | Form::Token => from_text(chip, text.context("no text")?)?,
        };
        Ok(Source { image, form })
    }

    fn recognise(&self, bytes: &[u8], is_token: bool) -> Form {
        let is_text = std::str::from_utf8(bytes).is_ok_and(|text| text.contains("dump:"));
        let is_hex = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace());
        let joint = self.chip.map(|chip| (joint_len(chip), EfuseMap::of(chip).image_len));
        match joint {
            _ if is_token => Form::Token,
            _ if is_text || (is_hex && !bytes.is_empty()) => Form::Text,
            Some((joint, virt)) if bytes.len() == joint && joint != virt => Form::Joint,
            _ => Form::Virt,
        }
    }

    fn read_split(&self, file: &File) -> anyhow::Result<Source> {
        let File::Path(path) = file else { bail!("separate files cannot come from stdin") };
        let chip = self.chip()?;
        let mut blocks = Vec::new();
        for block in EfuseMap::of(chip).block_numbers() {
            let data = File::Path(split_path(path, block.0)).read()?;
            blocks.push((block, Zeroizing::new(data)));
        }
        Ok(Source { image: from_blocks(chip, &blocks)?, form: Form::Split })
    }

    fn chip(&self) -> anyhow::Result<Chip> {
        self.chip.ok_or_else(|| anyhow::anyhow!("which chip these eFuses are of is not said")).context(Help("--chip"))
    }
}

/// `dump.bin` and 3 give `dump3.bin`, as espefuse names its files.
pub(crate) fn split_path(path: &Path, block: u8) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}{block}{extension}"))
}
