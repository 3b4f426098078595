//! `cotter nvs build`: one partition from CSV files.

use super::Shape;
use super::keys::KeyArgs;
use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::nvs::Table;
use cotter_factory::output::Visibility;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Build a partition from CSV files with the columns key,type,encoding,value.
///
/// Paths in `file` rows start at the folder of their CSV file. With --keys or --hmac-key the partition is encrypted.
/// The output is for its owner only: what goes into NVS is often secret.
///
/// Example: cotter nvs build --size 0x6000 --keys nvs_keys.bin -o nvs.bin nvs.csv
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    keys: KeyArgs,
    /// Where the partition goes; `-` is stdout, and then no report is printed.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// CSV files, read one after the other; `-` is stdin.
    #[arg(value_name = "CSV", required = true)]
    inputs: Vec<File>,
}

#[derive(Serialize)]
struct Report {
    output: String,
    size: usize,
    namespaces: usize,
    values: usize,
    encrypted: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, size, namespaces, values, encrypted } = self;
        let how = if *encrypted { "encrypted" } else { "in the clear" };
        write!(f, "{output}: {size:#x} bytes, {values} values in {namespaces} namespaces, {how}")
    }
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let keys = args.keys.read()?;
    let mut table = Table::new(args.shape.size, args.shape.version(), args.shape.habits())?;
    for input in &args.inputs {
        let csv = Zeroizing::new(input.read()?);
        table.add_csv(&csv, &folder(input)).with_context(|| input.to_string())?;
    }
    warn(&table, &args.shape);
    let (namespaces, values) = (table.namespaces(), table.values());
    let image = table.into_image();
    let bytes = Zeroizing::new(match &keys {
        Some(keys) => image.finish_encrypted(keys),
        None => image.finish(),
    });
    args.output.write(&bytes, Visibility::Secret)?;
    if args.output != File::Standard {
        let (output, encrypted) = (args.output.to_string(), keys.is_some());
        output::value(&Report { output, size: bytes.len(), namespaces, values, encrypted }, format)?;
    }
    Ok(true)
}

/// Says where the result differs from the generator's, or errs with it.
pub(crate) fn warn(table: &Table, shape: &Shape) {
    if table.has_bare_wifi_keys() {
        output::warning("Wi-Fi keys without the entries that Espressif's generator adds; --wifi-extras adds them");
    }
    if table.has_repeated_namespace() && shape.generator_quirks {
        output::warning("a namespace row is repeated: what follows it is in the namespace created last, as asked");
    }
}

/// Where the paths in a CSV file start.
pub(crate) fn folder(file: &File) -> std::path::PathBuf {
    match file {
        File::Standard => Path::new("").into(),
        File::Path(path) => path.parent().unwrap_or(Path::new("")).into(),
    }
}
