//! A whole flash image, by its partition table.

use super::{Direction, Done, ExtentDone, Job, not_whole_blocks, recognise};
use crate::file::File;
use crate::output::Help;
use anyhow::{Context, anyhow};
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::flash_encryption::extent::{Extent, ExtentContent, extents};
use cotter_formats::partition::{PartitionTable, TABLE_LEN};
use zeroize::Zeroizing;

pub(super) fn run(job: &Job, table_at: FlashAddr, input: &File, output: &File) -> anyhow::Result<Done> {
    let mut image = Zeroizing::new(input.read()?);
    let length = image.len();
    let padding = length.next_multiple_of(16) - length;
    if padding != 0 {
        if !job.pad {
            return Err(not_whole_blocks(input, length as u64, job.direction));
        }
        image.extend(std::iter::repeat_n(0xff, padding));
    }
    let table = table(job, table_at, input, &image)?;
    let extents = extents(job.chip, table_at, &table, &image).with_context(|| input.to_string())?;
    if !job.force {
        for extent in &extents {
            check(job, input, extent, &image)?;
        }
    }
    for extent in &extents {
        job.process(extent.address, &mut image[extent.range()])
            .with_context(|| format!("{input}: {} at {}", extent.name, extent.address))?;
    }
    output.write(&image, job.visibility())?;
    let done = |extent: &Extent| ExtentDone {
        name: Some(extent.name.to_string()),
        address: extent.address.0,
        processed: extent.encrypted as u64,
    };
    Ok(Done { length: image.len() as u64, padding, extents: extents.iter().map(done).collect() })
}

/// The table of the plain image. `--force` cannot do without it.
fn table(job: &Job, table_at: FlashAddr, input: &File, image: &[u8]) -> anyhow::Result<PartitionTable> {
    let start = table_at.0 as usize;
    let stored = image.get(start..).and_then(|rest| rest.get(..TABLE_LEN));
    let stored = stored.with_context(|| {
        let end = table_at.checked_add(FlashLen(0xc00)).unwrap_or(table_at);
        format!("{input} is {:#x} bytes and ends before the end {end} of a partition table at {table_at}", image.len())
    })?;
    let mut decrypted = stored.to_vec();
    job.key.decrypt(table_at, &mut decrypted)?;
    let (plain, hidden) = (PartitionTable::parse(stored), PartitionTable::parse(&decrypted));
    match job.direction {
        Direction::Encrypt => match (plain, hidden) {
            (Ok(table), _) => Ok(table),
            (Err(_), Ok(_)) => {
                Err(anyhow!("{input} is encrypted already: this key decrypts its partition table at {table_at}"))
                    .context(Help("give the plain image; a second time can only be one region at an --address"))
            }
            (Err(error), Err(_)) => Err(anyhow::Error::new(error))
                .with_context(|| format!("{input} has no plain partition table at {table_at}"))
                .context(Help("name the table's address with --partition-table; or the image is encrypted already")),
        },
        Direction::Decrypt => match (hidden, plain) {
            (Ok(table), _) => Ok(table),
            (Err(_), Ok(_)) => {
                Err(anyhow!("{input} is not encrypted: its partition table at {table_at} can be read as it is"))
                    .context(Help("nothing is to be decrypted; or name one region with --address"))
            }
            (Err(_), Err(_)) => Err(anyhow!("{input}: this key decrypts no partition table at {table_at}"))
                .context(Help("check --key, --chip, --partition-table and --flash-crypt-config")),
        },
    }
}

/// Where an image belongs, there must be one.
fn check(job: &Job, input: &File, extent: &Extent, image: &[u8]) -> anyhow::Result<()> {
    let bytes = &image[extent.range()];
    let head = &bytes[..bytes.len().min(32)];
    if head.is_empty() || extent.content != ExtentContent::Image {
        return Ok(());
    }
    let name = format!("{input}: {} at {}", extent.name, extent.address);
    recognise::check(job, &name, extent.address, head)?;
    match job.direction {
        Direction::Encrypt => recognise::check_image(&name, head),
        Direction::Decrypt => Ok(()),
    }
}
