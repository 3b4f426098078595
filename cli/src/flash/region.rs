//! What sits at one address: read, processed and written a megabyte at a time.

use super::{Done, ExtentDone, Job, not_whole_blocks, recognise};
use crate::file::File;
use crate::output;
use anyhow::Context;
use cotter_factory::output::write_whole_with;
use cotter_formats::addr::FlashAddr;
use std::io::{Read, Write};
use zeroize::Zeroizing;

pub(super) fn run(job: &Job, address: FlashAddr, input: &File, output: &File) -> anyhow::Result<Done> {
    let mut reader: Box<dyn Read> = match input {
        File::Standard => Box::new(std::io::stdin().lock()),
        File::Path(path) => Box::new(std::fs::File::open(path).with_context(|| format!("cannot read {input}"))?),
    };
    match output {
        // Nothing is printed before all is known to be right.
        File::Standard => {
            let mut bytes = Vec::new();
            let done = copy(job, address, input, &mut reader, &mut bytes)?;
            output::bytes(&bytes).context("cannot write to stdout")?;
            Ok(done)
        }
        File::Path(path) => {
            write_whole_with(path, job.visibility(), |file| copy(job, address, input, &mut reader, file))
        }
    }
}

fn copy(
    job: &Job,
    address: FlashAddr,
    input: &File,
    reader: &mut dyn Read,
    writer: &mut dyn Write,
) -> anyhow::Result<Done> {
    let mut buffer = Zeroizing::new(vec![0; BLOCK]);
    let (mut length, mut padding) = (0_u64, 0);
    loop {
        let read = fill(reader, &mut buffer).with_context(|| format!("cannot read {input}"))?;
        if read == 0 {
            break;
        }
        let last = read < BLOCK;
        let blocks = read.next_multiple_of(16);
        if blocks != read {
            if !job.pad {
                return Err(not_whole_blocks(input, length + read as u64, job.direction));
            }
            buffer[read..blocks].fill(0xff);
            padding = blocks - read;
        }
        let data = &mut buffer[..blocks];
        if length == 0 && !job.force {
            let head = &data[..blocks.min(32)];
            if job.direction == super::Direction::Encrypt && address == job.chip.bootloader_offset() {
                // The key says more than the magic, so it is asked first.
                recognise::check(job, input, address, head)?;
                recognise::check_image(format_args!("{input}, for the bootloader's address {address},"), head)?;
            } else if address.is_aligned(16) {
                recognise::check(job, input, address, head)?;
            }
        }
        let at = u32::try_from(length).ok().and_then(|length| address.0.checked_add(length));
        let at = at.with_context(|| format!("{input} at {address} passes 4 GiB"))?;
        job.process(FlashAddr(at), data).with_context(|| format!("cannot process {input}"))?;
        writer.write_all(data)?;
        length += blocks as u64;
        if last {
            break;
        }
    }
    anyhow::ensure!(length != 0, "{input} is empty");
    Ok(Done { length, padding, extents: vec![ExtentDone { name: None, address: address.0, processed: length }] })
}

/// Reads until the buffer is full or the input ends.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A multiple of every unit of encryption.
const BLOCK: usize = 1 << 20;
