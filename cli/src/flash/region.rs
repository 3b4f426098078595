//! What sits at one address: read, processed and written piece by piece.

use super::pieces::Pieces;
use super::{Direction, Done, ExtentDone, Job, recognise};
use crate::file::File;
use anyhow::Context;
use cotter_formats::addr::FlashAddr;
use std::io::Write;

pub(super) fn run(job: &Job, address: FlashAddr, input: &File, output: &File) -> anyhow::Result<Done> {
    let mut pieces = Pieces::open(job, input, 0)?;
    output.write_with(job.visibility(), |writer| copy(job, address, input, &mut pieces, writer))
}

fn copy(
    job: &Job,
    address: FlashAddr,
    input: &File,
    pieces: &mut Pieces<'_>,
    writer: &mut dyn Write,
) -> anyhow::Result<Done> {
    while let Some((start, data)) = pieces.next()? {
        if start == 0 && !job.force {
            check(job, address, input, &data[..data.len().min(32)])?;
        }
        let at = u32::try_from(start).ok().and_then(|start| address.0.checked_add(start));
        let at = at.with_context(|| format!("{input} at {address} passes 4 GiB"))?;
        job.process(FlashAddr(at), data).with_context(|| format!("cannot process {input}"))?;
        writer.write_all(data)?;
    }
    let Pieces { length, padding, .. } = *pieces;
    Ok(Done { length, padding, extents: vec![ExtentDone { name: None, address: address.0, processed: length }] })
}

/// Refuses an input that is not what can be at that address.
fn check(job: &Job, address: FlashAddr, input: &File, head: &[u8]) -> anyhow::Result<()> {
    if job.direction == Direction::Encrypt && address == job.chip.bootloader_offset() {
        // The key says more than the magic, so it is asked first.
        recognise::check(job, input, address, head)?;
        return recognise::check_image(format_args!("{input}, for the bootloader's address {address},"), head);
    }
    if address.is_aligned(16) { recognise::check(job, input, address, head) } else { Ok(()) }
}
