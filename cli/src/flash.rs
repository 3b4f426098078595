//! `cotter flash`: encrypt what a chip with flash encryption will read, and decrypt what was read from it.

mod pieces;
mod recognise;
mod region;
mod whole;

use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::chip::Chip;
use cotter_formats::flash_encryption::esp32::CryptConfig;
use cotter_formats::flash_encryption::key::{FlashCryptError, FlashKey, KeyHolder};
use cotter_formats::partition;
use serde::Serialize;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

/// Encrypt and decrypt flash contents as the chip does it.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Encrypt a file for the address at which it will sit, or a whole flash image by its partition table.
    ///
    /// Example: cotter flash encrypt --chip esp32c3 --key flash.key --address 0x10000 -o app-encrypted.bin app.bin
    Encrypt {
        #[command(flatten)]
        options: Options,
        /// Fill the last 16-byte block with 0xFF if the input does not. (espsecure fills it with random bytes.)
        #[arg(long)]
        pad: bool,
    },
    /// Decrypt what was read from an address, or a whole flash image by its partition table.
    ///
    /// A wrong key, chip or address gives noise, as on the chip; with --whole it is noticed at the partition table.
    ///
    /// Example: cotter flash decrypt --chip esp32 --key flash.key --whole -o plain.bin flash-dump.bin
    Decrypt {
        #[command(flatten)]
        options: Options,
    },
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["address", "whole"]))]
pub(crate) struct Options {
    /// The chip: esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c5, esp32c6, esp32c61, esp32h2, esp32p4.
    #[arg(long, value_parser = chip)]
    chip: Chip,
    /// The key file of espsecure: 32 raw bytes (all chips), 64 (XTS-AES-256), 24 (esp32, 3/4 coding), 16 (esp32c2).
    #[arg(long, value_name = "FILE")]
    key: File,
    /// Treat the input as what sits at this flash address, a multiple of 16.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    address: Option<FlashAddr>,
    /// Treat the input as a whole flash image, from address 0: bootloader, table, applications, otadata, NVS keys and
    /// partitions flagged "encrypted" are processed, everything else is left alone.
    #[arg(long)]
    whole: bool,
    /// Where the partition table of a whole image sits.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "whole", conflicts_with = "address")]
    partition_table: Option<FlashAddr>,
    /// FLASH_CRYPT_CONFIG of an esp32, 0 to 0xF: what part of the key the address changes. [default: 0xF]
    #[arg(long, value_name = "VALUE", value_parser = config)]
    flash_crypt_config: Option<CryptConfig>,
    /// The key is in the key manager and not in eFuse (esp32c5, esp32p4).
    #[arg(long)]
    key_manager: bool,
    /// Go on if the input seems to be encrypted already (or not encrypted), or made for another chip.
    #[arg(long)]
    force: bool,
    /// Where the result goes; `-` is stdout, and then no report is printed.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// What to read; `-` is stdin.
    #[arg(value_name = "IN")]
    input: File,
}

pub(crate) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    let (options, direction, pad) = match verb {
        Verb::Encrypt { options, pad } => (options, Direction::Encrypt, *pad),
        Verb::Decrypt { options } => (options, Direction::Decrypt, false),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let job = Job { chip: options.chip, key: key(options)?, direction, pad, force: options.force, threads };
    let done = match options.address {
        Some(address) => region::run(&job, address, &options.input, &options.output)?,
        None => {
            let table_at = options.partition_table.unwrap_or(partition::DEFAULT_OFFSET);
            whole::run(&job, table_at, &options.input, &options.output)?
        }
    };
    if options.output != File::Standard {
        let Job { chip, direction, .. } = job;
        output::value(&Report { direction, chip: chip.name(), scheme: job.key.scheme(), done }, format)?;
    }
    Ok(true)
}

/// What is done, whatever the input is.
struct Job {
    chip: Chip,
    key: FlashKey,
    direction: Direction,
    pad: bool,
    force: bool,
    /// How many may work on one piece. Not 0.
    threads: usize,
}

impl Job {
    /// In place. Parts of a large piece run side by side.
    fn process(&self, address: FlashAddr, data: &mut [u8]) -> Result<(), FlashCryptError> {
        let part = data.len().div_ceil(self.threads).next_multiple_of(PART).max(PART);
        let Ok(step) = u32::try_from(part) else { return self.process_alone(address, data) };
        let reaches = u32::try_from(data.len()).is_ok_and(|len| address.checked_add(FlashLen(len)).is_some());
        if data.len() <= part || !reaches {
            return self.process_alone(address, data);
        }
        let (head, tail) = data.split_at_mut(part);
        std::thread::scope(|scope| {
            let starts = (1..).map(|index| FlashAddr(address.0 + index * step));
            let others =
                starts.zip(tail.chunks_mut(part)).map(|(at, part)| scope.spawn(move || self.process_alone(at, part)));
            let others: Vec<_> = others.collect();
            let head = self.process_alone(address, head);
            // An error of one part means that nothing is written, whatever became of the others.
            others.into_iter().fold(head, |all, other| all.and(other.join().expect("encryption does not panic")))
        })
    }

    fn process_alone(&self, address: FlashAddr, data: &mut [u8]) -> Result<(), FlashCryptError> {
        match self.direction {
            Direction::Encrypt => self.key.encrypt(address, data),
            Direction::Decrypt => self.key.decrypt(address, data),
        }
    }

    /// Plain contents of flash may hold keys; ciphertext is for everybody.
    const fn visibility(&self) -> Visibility {
        match self.direction {
            Direction::Encrypt => Visibility::Public,
            Direction::Decrypt => Visibility::Secret,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Encrypt,
    Decrypt,
}

#[derive(Serialize)]
struct Report {
    direction: Direction,
    chip: &'static str,
    scheme: &'static str,
    #[serde(flatten)]
    done: Done,
}

/// What became of the input.
#[derive(Serialize)]
struct Done {
    /// Bytes of output.
    length: u64,
    /// 0xFF bytes added to the input.
    padding: usize,
    extents: Vec<ExtentDone>,
}

#[derive(Serialize)]
struct ExtentDone {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    address: u32,
    /// Bytes encrypted or decrypted; 0 if all were left alone.
    processed: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.direction {
            Direction::Encrypt => "encrypted",
            Direction::Decrypt => "decrypted",
        };
        write!(f, "{verb} for {} with {}", self.chip, self.scheme)?;
        if self.done.padding != 0 {
            write!(f, ", {} bytes of 0xFF added", self.done.padding)?;
        }
        for extent in &self.done.extents {
            let name = extent.name.as_deref().unwrap_or("region");
            match extent.processed {
                0 => write!(f, "\n  {:#010x}            {name}: left alone", extent.address)?,
                len => write!(f, "\n  {:#010x} {len:#10x} {name}", extent.address)?,
            }
        }
        Ok(())
    }
}

/// Reads the key. Who else can read it is a warning, not an error: it may be a test key in a repository.
fn key(options: &Options) -> anyhow::Result<FlashKey> {
    let file = Zeroizing::new(options.key.read()?);
    if let File::Path(path) = &options.key
        && let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & 0o077 != 0
    {
        output::warning(format_args!("{} can be read by others: chmod 600 it", options.key));
    }
    let holder = if options.key_manager { KeyHolder::KeyManager } else { KeyHolder::Efuse };
    let key = FlashKey::for_chip(options.chip, holder, options.flash_crypt_config, &file)
        .with_context(|| format!("cannot use {}", options.key))?;
    if let FlashKey::Esp32(_, config) = &key
        && config.value() == 0
    {
        output::warning(format_args!("FLASH_CRYPT_CONFIG 0 encrypts equal blocks to equal ciphertext everywhere"));
    }
    Ok(key)
}

fn chip(text: &str) -> Result<Chip, String> {
    Chip::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Chip::ALL.into_iter().map(Chip::name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected a number below 4 GiB, decimal or 0x..".to_owned())
}

fn address(text: &str) -> Result<FlashAddr, String> {
    number(text).map(FlashAddr)
}

fn config(text: &str) -> Result<CryptConfig, String> {
    let value = u8::try_from(number(text)?).ok().and_then(CryptConfig::new);
    value.ok_or_else(|| "FLASH_CRYPT_CONFIG has four bits: 0 to 0xF".to_owned())
}

/// The least that a thread is given: a multiple of every unit of encryption.
const PART: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_side_by_side_equal_the_whole() {
        for (chip, len) in [(Chip::Esp32C3, 32), (Chip::Esp32S3, 64), (Chip::Esp32, 32)] {
            let key = || FlashKey::for_chip(chip, KeyHolder::Efuse, None, &vec![9; len]).unwrap();
            for threads in [1, 2, 3, 7] {
                let job = Job { chip, key: key(), direction: Direction::Encrypt, pad: false, force: false, threads };
                for len in [0, 16, PART, PART + 16, 2 * PART - 16, 2 * PART, 2 * PART + 16, 5 * PART + 48] {
                    let (mut parts, mut whole) = (vec![1; len], vec![1; len]);
                    job.process(FlashAddr(0x1_0010), &mut parts).unwrap();
                    job.process_alone(FlashAddr(0x1_0010), &mut whole).unwrap();
                    assert!(parts == whole, "{chip} {len} {threads}");
                }
                assert!(job.process(FlashAddr(0xffff_fff0), &mut vec![0; 4 * PART]).is_err());
            }
        }
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!((number("0x10000"), number("4096")), (Ok(0x1_0000), Ok(4096)));
        assert!(number("10k").is_err() && number("0x100000000").is_err() && config("16").is_err());
    }
}
