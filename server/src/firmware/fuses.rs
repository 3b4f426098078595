//! The anti-rollback budget: how often a chip can ever raise its `secure_version`.
//!
//! `SECURE_VERSION` counts burned bits, one for each step, and a burned bit stays burned. A release beyond the last bit
//! could be installed and then never be told from an older one; a release that jumps uses steps up for nothing.

use cotter_formats::chip::Chip;
use cotter_formats::efuse::map::EfuseMap;
use cotter_wire::ids::SecureVersion;

/// What a release does to the budget of a device that runs what is published now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Steps that the chip has in all; 0 if it has no such eFuse.
    pub steps: u32,
    /// Steps that this release uses beyond `before`.
    pub uses: u32,
    /// Steps that remain after it.
    pub left: u32,
}

/// How many steps a chip has, by its eFuse map.
#[must_use]
pub fn steps(chip: Chip) -> u32 {
    EfuseMap::of(chip).field("SECURE_VERSION").map_or(0, |field| u32::from(field.len))
}

impl Budget {
    /// Of a release for `chip`; `before`: what is published.
    #[must_use]
    pub fn of(chip: Chip, release: SecureVersion, before: SecureVersion) -> Self {
        let steps = steps(chip);
        Self { steps, uses: release.0.saturating_sub(before.0), left: steps.saturating_sub(release.0.max(before.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chip_has_the_steps_of_its_efuse() {
        for chip in Chip::ALL {
            // Widths by esptool's eFuse definitions.
            let expected = match chip {
                Chip::Esp32 => 32,
                Chip::Esp32C2 => 4,
                Chip::Esp32C5 => 9,
                _ => 16,
            };
            assert_eq!(steps(chip), expected, "{}", chip.name());
        }
    }

    #[test]
    fn a_release_uses_what_it_raises() {
        let of = |release, before| Budget::of(Chip::Esp32C3, SecureVersion(release), SecureVersion(before));
        assert_eq!(of(3, 1), Budget { steps: 16, uses: 2, left: 13 });
        assert_eq!(of(1, 1), Budget { steps: 16, uses: 0, left: 15 });
        assert_eq!(of(16, 0), Budget { steps: 16, uses: 16, left: 0 });
        assert_eq!(of(0, 5), Budget { steps: 16, uses: 0, left: 11 });
    }
}
