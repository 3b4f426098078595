//! A whole flash image, by its partition table: read, processed and written piece by piece.

use super::pieces::Pieces;
use super::{Direction, Done, ExtentDone, Job, recognise};
use crate::file::File;
use crate::output::Help;
use anyhow::{Context, anyhow};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::flash_encryption::extent::{ExtentContent, Place, places, programmed};
use cotter_formats::partition::{PartitionTable, TABLE_LEN};
use std::io::Write;

pub(super) fn run(job: &Job, table_at: FlashAddr, input: &File, output: &File) -> anyhow::Result<Done> {
    anyhow::ensure!(table_at <= LAST_TABLE, "no chip has its partition table behind {LAST_TABLE}");
    let table_end = (table_at.0 + SECTOR).next_multiple_of(SECTOR) as usize;
    let mut pieces = Pieces::open(job, input, table_end)?;
    output.write_with(job.visibility(), |writer| copy(job, table_at, input, &mut pieces, writer))
}

fn copy(
    job: &Job,
    table_at: FlashAddr,
    input: &File,
    pieces: &mut Pieces<'_>,
    writer: &mut dyn Write,
) -> anyhow::Result<Done> {
    let mut walk = None;
    while let Some((start, data)) = pieces.next()? {
        let walk = match &mut walk {
            Some(walk) => walk,
            // The first piece holds the table, if the image does.
            None => walk.insert(Walk::begin(job, table_at, input, data)?),
        };
        walk.piece(start, data, writer)?;
    }
    let mut walk = walk.with_context(|| format!("{input} is empty"))?;
    walk.end(writer)?;
    let Pieces { length, padding, .. } = *pieces;
    let met = walk.places.iter().take_while(|(place, _)| u64::from(place.start.0) < length);
    let done = |(place, processed): &(Place, u64)| ExtentDone {
        name: Some(place.name.to_string()),
        address: place.start.0,
        processed: *processed,
    };
    Ok(Done { length, padding, extents: met.map(done).collect() })
}

/// A way through the places of an image.
struct Walk<'a> {
    job: &'a Job,
    input: &'a File,
    /// Each with the bytes of it that are processed.
    places: Vec<(Place, u64)>,
    /// Erased bytes before the next piece that are not written yet: they belong to an application or boot image, and
    /// only what follows tells whether they lie within it or behind it.
    held: u64,
}

impl<'a> Walk<'a> {
    fn begin(job: &'a Job, table_at: FlashAddr, input: &'a File, first: &[u8]) -> anyhow::Result<Self> {
        let table = table(job, table_at, input, first)?;
        let places = places(job.chip, table_at, &table, first).with_context(|| input.to_string())?;
        Ok(Self { job, input, places: places.into_iter().map(|place| (place, 0)).collect(), held: 0 })
    }

    /// `start`: where the piece begins in flash, a multiple of a sector.
    fn piece(&mut self, start: u64, data: &mut [u8], writer: &mut dyn Write) -> anyhow::Result<()> {
        let Self { job, input, places, held } = self;
        let end = start + data.len() as u64;
        let mut keep = 0;
        for (place, processed) in places {
            let (from, to) = (u64::from(place.start.0).max(start), place.end.min(end));
            if from >= to {
                continue;
            }
            let part = &mut data[within(start, from)..within(start, to)];
            let len = match place.content {
                ExtentContent::Image => programmed(part),
                ExtentContent::Data => part.len(),
                ExtentContent::Plain => 0,
            };
            if *held != 0 && from == start && len != 0 {
                *processed += *held;
                erased(*held, writer, |at, sectors| process(job, input, place, start - *held + at, sectors))?;
                *held = 0;
            }
            if len != 0 {
                if *processed == 0 && !job.force && place.content == ExtentContent::Image {
                    check(job, input, place, &part[..len.min(32)])?;
                }
                process(job, input, place, from, &mut part[..len])?;
                *processed += len as u64;
            }
            if place.content == ExtentContent::Image && to == end && place.end > end {
                keep = part.len() - len;
            }
        }
        if keep == data.len() {
            *held += keep as u64;
            return Ok(());
        }
        self.end(writer)?;
        writer.write_all(&data[..data.len() - keep])?;
        self.held = keep as u64;
        Ok(())
    }

    /// What is held is behind its image.
    fn end(&mut self, writer: &mut dyn Write) -> anyhow::Result<()> {
        erased(std::mem::take(&mut self.held), writer, |_, _| Ok(()))
    }
}

/// Processes a part of a place.
fn process(job: &Job, input: &File, place: &Place, at: u64, data: &mut [u8]) -> anyhow::Result<()> {
    let address = u32::try_from(at).map(FlashAddr).with_context(|| format!("{input} passes 4 GiB"))?;
    job.process(address, data).with_context(|| format!("{input}: {} at {}", place.name, place.start))
}

/// Writes that many erased bytes after `process` has had them, with their offset.
fn erased(
    len: u64,
    writer: &mut dyn Write,
    mut process: impl FnMut(u64, &mut [u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut done = 0;
    while done < len {
        let count = (len - done).min(ERASED.into());
        let mut bytes = vec![0xff; within(0, count)];
        process(done, &mut bytes)?;
        writer.write_all(&bytes)?;
        done += count;
    }
    Ok(())
}

/// An offset into a piece that begins at `start`.
fn within(start: u64, at: u64) -> usize {
    usize::try_from(at - start).expect("a piece fits into memory")
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
fn check(job: &Job, input: &File, place: &Place, head: &[u8]) -> anyhow::Result<()> {
    let name = format!("{input}: {} at {}", place.name, place.start);
    recognise::check(job, &name, place.start, head)?;
    match job.direction {
        Direction::Encrypt => recognise::check_image(&name, head),
        Direction::Decrypt => Ok(()),
    }
}

/// Everything up to the table is in memory at once.
const LAST_TABLE: FlashAddr = FlashAddr(16 << 20);
/// Erased bytes made at once.
const ERASED: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_formats::chip::Chip;
    use cotter_formats::flash_encryption::extent::extents;
    use cotter_formats::flash_encryption::key::{FlashKey, KeyHolder};
    use cotter_formats::partition::{Label, Partition, PartitionFlags, PartitionType, Subtype};

    /// xorshift64*: the same images on every machine.
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
        }
    }

    /// An application, data in the clear, encrypted data and a second application, of random sizes.
    fn random_table(random: &mut Seeded) -> PartitionTable {
        let mut at = 0x1_0000;
        let mut row = |label: &str, kind: PartitionType, subtype, most, flags| {
            at = u32::next_multiple_of(at, kind.alignment());
            let (offset, size) = (FlashAddr(at), FlashLen(SECTOR * (1 + random.below(most))));
            at += size.0;
            Partition { label: Label::new(label).unwrap(), kind, subtype, offset, size, flags }
        };
        let (app, data) = (PartitionType::APP, PartitionType::DATA);
        PartitionTable::new(&[
            row("ota_0", app, Subtype::APP_OTA_0, 700, PartitionFlags::NONE),
            row("open", data, Subtype::DATA_SPIFFS, 40, PartitionFlags::NONE),
            row("secret", data, Subtype::DATA_FAT, 300, PartitionFlags::ENCRYPTED),
            row("ota_1", app, Subtype::APP_OTA_1, 300, PartitionFlags::NONE),
        ])
        .unwrap()
    }

    #[test]
    fn pieces_of_random_images_equal_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        let files = (File::Path(input.clone()), File::Path(output.clone()));
        let table_at = FlashAddr(0x8000);
        for seed in 1..=24 {
            let random = &mut Seeded(seed * 0x9e37_79b9);
            let chips = [(Chip::Esp32, 32), (Chip::Esp32C3, 32), (Chip::Esp32P4, 64)];
            let (chip, key_len) = chips[random.below(3) as usize];
            let table = random_table(random);
            let mut image = vec![0xff; 16 * (0x900 + random.below(0x5_0000)) as usize];
            for sector in image.chunks_mut(SECTOR as usize) {
                // Every second image has erased stretches longer than a piece.
                if random.below(if seed % 2 == 0 { 2 } else { 400 }) == 0 {
                    let byte = random.below(u32::try_from(sector.len()).unwrap());
                    sector[byte as usize] = 7;
                }
            }
            image[0x8000..0x8c00].copy_from_slice(&table.encode());

            let key = FlashKey::for_chip(chip, KeyHolder::Efuse, None, &vec![5; key_len]).unwrap();
            let (direction, threads) = (Direction::Encrypt, 1 + random.below(3) as usize);
            let mut job = Job { chip, key, direction, pad: false, force: true, threads };
            std::fs::write(&input, &image).unwrap();
            let done = run(&job, table_at, &files.0, &files.1).unwrap();

            let mut whole = image.clone();
            let extents = extents(chip, table_at, &table, &image).unwrap();
            for extent in &extents {
                job.process_alone(extent.address, &mut whole[extent.range()]).unwrap();
            }
            assert!(std::fs::read(&output).unwrap() == whole, "seed {seed}");
            let told: Vec<_> = done.extents.iter().map(|extent| (extent.address, extent.processed)).collect();
            let expected: Vec<_> = extents.iter().map(|extent| (extent.address.0, extent.encrypted as u64)).collect();
            assert_eq!(told, expected, "seed {seed}");

            job.direction = Direction::Decrypt;
            run(&job, table_at, &files.1, &files.0).unwrap();
            assert!(std::fs::read(&input).unwrap() == image, "seed {seed}");
        }
    }
}
