//! What plain flash contents begin with, to notice an input that is already encrypted, or not yet.

use super::{Direction, Job};
use crate::output::Help;
use anyhow::{Context, anyhow};
use cotter_formats::addr::{FlashAddr, SECTOR};
use cotter_formats::chip::Chip;
use std::fmt;

/// Plain contents that cannot be mistaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Image(Chip),
    PartitionTable,
}

impl Plain {
    /// By the first bytes: the fixed fields of an image header, or those of a table's first entry.
    /// Noise passes once in two million times.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        match *head {
            [0xe9, 1..=16, ..] => Chip::from_image_chip_id(half(12)?).map(Self::Image),
            [0xaa, 0x50, ..] => word(4)?.is_multiple_of(SECTOR).then_some(Self::PartitionTable),
            _ => None,
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(chip) => write!(f, "an image for {chip}"),
            Self::PartitionTable => f.write_str("a partition table"),
        }
    }
}

/// Refuses an input that has been through the same verb before, or is not for this chip. `--force` never comes here.
///
/// `name`: what the input is called. `head`: its beginning, whole blocks, at `address`.
pub(super) fn check(job: &Job, name: impl fmt::Display, address: FlashAddr, head: &[u8]) -> anyhow::Result<()> {
    let plain = Plain::of(head);
    if job.direction == Direction::Decrypt {
        return match plain {
            Some(plain) => Err(anyhow!("{name} is not encrypted: it begins with {plain}"))
                .context(Help("say --force to decrypt it all the same")),
            None => Ok(()),
        };
    }
    if let Some(Plain::Image(chip)) = plain
        && chip != job.chip
    {
        return Err(anyhow!("{name} is an image for {chip}, not for {}", job.chip))
            .context(Help("name its chip with --chip, or say --force"));
    }
    if plain.is_some() {
        return Ok(());
    }
    let mut decrypted = head.to_vec();
    job.key.decrypt(address, &mut decrypted)?;
    let hidden = Plain::of(&decrypted).filter(|hidden| !matches!(hidden, Plain::Image(chip) if *chip != job.chip));
    if let Some(hidden) = hidden {
        return Err(anyhow!("{name} is encrypted already: at {address} this key decrypts it to {hidden}"))
            .context(Help(FORCE));
    }
    Ok(())
}

/// Refuses to encrypt something else where only an image can be.
pub(super) fn check_image(name: impl fmt::Display, head: &[u8]) -> anyhow::Result<()> {
    match head.first() {
        None | Some(0xe9) => Ok(()),
        Some(0xff) if head.iter().all(|&byte| byte == 0xff) => Ok(()),
        Some(byte) => Err(anyhow!(
            "{name} begins with {byte:#04x}, not with the image magic 0xe9: perhaps it is encrypted already"
        ))
        .context(Help(FORCE)),
    }
}

const FORCE: &str = "give the plain input, or say --force to encrypt it once more";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_images_and_tables_by_their_first_bytes() {
        let mut head = [0xe9, 3, 2, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0];
        assert_eq!(Plain::of(&head), Some(Plain::Image(Chip::Esp32C3)));
        head[1] = 17;
        assert_eq!(Plain::of(&head), None);
        assert_eq!(Plain::of(&[0xaa, 0x50, 1, 2, 0, 0x90, 0, 0]), Some(Plain::PartitionTable));
        assert_eq!(Plain::of(&[0xaa, 0x50, 1, 2, 1, 0x90, 0, 0]), None);
        for len in 0..4 {
            assert_eq!(Plain::of(&[0xe9, 1, 0][..len.min(3)]), None);
        }
    }
}
