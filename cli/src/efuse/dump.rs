//! `cotter efuse dump`: eFuses in another form.

use super::source::{Form, Options, split_path};
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::{Context, bail};
use cotter_factory::output::Visibility;
use cotter_formats::efuse::dump::{to_joint, to_text};
use cotter_formats::efuse::token::{TokenKind, token};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// Write eFuses in another form: virtual file, registers, text, joint or separate files, token.
///
/// Keys that can still be read are in every form. Texts, joint files and tokens hold the blocks only; what else is in
/// a register file (timing, the check bytes of the last block burned) is in virt and registers.
///
/// Example: cotter efuse dump --chip esp32c3 efuse.bin --to token
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The eFuses: a file, `-` for stdin, or a token itself.
    file: File,
    #[command(flatten)]
    options: Options,
    /// What to write.
    #[arg(long, value_enum)]
    to: Form,
    /// Where to; `-` is stdout. Mode 0600, as keys may be in it.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let source = args.options.read(&args.file)?;
    let image = &source.image;
    if args.to == Form::Split {
        let File::Path(path) = &args.output else {
            return Err(anyhow::anyhow!("separate files need a name")).context(Help("--output dump.bin"));
        };
        for block in image.map().block_numbers() {
            let bytes = image.block(block).unwrap_or_default();
            File::Path(split_path(path, block.0)).write_new(bytes, Visibility::Secret, args.force)?;
        }
    } else {
        let bytes = Zeroizing::new(match args.to {
            Form::Virt => image.to_virtual_file().to_vec(),
            Form::Registers => image.registers().to_vec(),
            Form::Text => to_text(image).into_bytes(),
            Form::Joint => to_joint(image),
            Form::Token => (token(image, TokenKind::Read) + "\n").into_bytes(),
            Form::Split => bail!("written above"),
        });
        args.output.write_new(&bytes, Visibility::Secret, args.force)?;
    }
    if args.output != File::Standard {
        let report =
            Report { chip: image.map().chip.name(), from: source.form, to: args.to, file: args.output.to_string() };
        output::value(&report, format)?;
    }
    Ok(true)
}

#[derive(Serialize)]
struct Report {
    chip: &'static str,
    from: Form,
    to: Form,
    file: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eFuses of an {} written to {}", self.chip, self.file)
    }
}
