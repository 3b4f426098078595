//! The self-test of an image on trial: is it what the update promised, and could it measure anything?
//!
//! It runs in the new firmware, after the first boot and before the slot is confirmed. Only a firmware that gets this
//! far and passes stays; one that crashes on the way is rolled back by the second stage.

use crate::label::{ImageLabel, LabelError, MalformedLabel};
use crate::slots::Slot;
use cotter_formats::chip::Chip;
use cotter_wire::ids::SecureVersion;
use cotter_wire::registers::{RegisterFault, RegisterMap, RegisterMapError};
use cotter_wire::version::Version;
use embedded_storage::nor_flash::ReadNorFlash;

/// What the signed manifest said about the image that is on trial now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its version.
    pub version: Version,
    /// Its place in the anti-rollback order.
    pub secure_version: SecureVersion,
}

/// Tests the image in `slot`, which is the running one, through the transparent view.
/// Without a `promise` (an image that no update brought) only the image itself is tested.
///
/// # Errors
/// [`SelfTestError::Flash`] is no verdict; [`SelfTestError::Failed`] is.
pub fn run<F: ReadNorFlash>(
    flash: &mut F,
    slot: Slot,
    chip: Chip,
    promise: Option<Promise>,
) -> Result<RegisterMap, SelfTestError<F::Error>> {
    let label = ImageLabel::read(flash, slot).map_err(|error| match error {
        LabelError::Flash(error) => SelfTestError::Flash(error),
        LabelError::Label(malformed) => SelfTestError::Failed(SelfTestFailure::Label(malformed)),
    })?;
    judge(&label, chip, promise).map_err(SelfTestError::Failed)
}

fn judge(label: &ImageLabel, chip: Chip, promise: Option<Promise>) -> Result<RegisterMap, SelfTestFailure> {
    if label.chip != chip {
        return Err(SelfTestFailure::Chip { expected: chip, found: label.chip });
    }
    if let Some(Promise { version, secure_version }) = promise {
        if label.version != version {
            return Err(SelfTestFailure::Version { promised: version, found: label.version });
        }
        if label.secure_version != secure_version {
            return Err(SelfTestFailure::SecureVersion { promised: secure_version, found: label.secure_version });
        }
    }
    let registers = label.registers.map_err(SelfTestFailure::RegisterMap)?;
    registers.check().map_err(|fault| match fault {
        RegisterFault::Empty => SelfTestFailure::NoRegisters,
        RegisterFault::ZeroGain { id } => SelfTestFailure::ZeroGain { register: id },
        RegisterFault::Duplicate { id } => SelfTestFailure::DuplicateRegister { register: id },
    })?;
    Ok(registers)
}

/// Why there is no passed self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError<E> {
    /// The flash failed, so nothing is known about the image.
    #[error("self-test: flash: {0}")]
    Flash(E),
    /// The image is bad.
    #[error("self-test: {0}")]
    Failed(SelfTestFailure),
}

/// What the self-test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestFailure {
    /// No readable header or descriptor.
    #[error("{0}")]
    Label(MalformedLabel),
    /// Built for another chip.
    #[error("the image is for {found}, this is {expected}")]
    Chip {
        /// This chip.
        expected: Chip,
        /// The image's.
        found: Chip,
    },
    /// Not the promised version.
    #[error("version {promised} was promised, {found} runs")]
    Version {
        /// By the manifest.
        promised: Version,
        /// In the image.
        found: Version,
    },
    /// Not the promised secure version.
    #[error("secure version {promised} was promised, {found} runs")]
    SecureVersion {
        /// By the manifest.
        promised: SecureVersion,
        /// In the image.
        found: SecureVersion,
    },
    /// No readable register map.
    #[error("{0}")]
    RegisterMap(RegisterMapError),
    /// Nothing to measure.
    #[error("no registers")]
    NoRegisters,
    /// A measurement could not be scaled.
    #[error("register {register} has gain 0")]
    ZeroGain {
        /// Its id.
        register: u8,
    },
    /// Two registers of one id.
    #[error("register {register} is there twice")]
    DuplicateRegister {
        /// The id.
        register: u8,
    },
}

impl SelfTestFailure {
    /// A stable name for reports and tables.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Label(_) => "self-test-label",
            Self::Chip { .. } => "self-test-chip",
            Self::Version { .. } => "self-test-version",
            Self::SecureVersion { .. } => "self-test-secure-version",
            Self::RegisterMap(_) => "self-test-register-map",
            Self::NoRegisters => "self-test-no-registers",
            Self::ZeroGain { .. } => "self-test-zero-gain",
            Self::DuplicateRegister { .. } => "self-test-duplicate-register",
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::slots::SlotIndex;
    use crate::test_image::TestImage;
    use cotter_chip::fault::Fault;
    use cotter_chip::flash::{Flash, FlashError};
    use cotter_formats::addr::{FlashAddr, FlashLen};
    use cotter_wire::registers::ECOWATT;
    use std::string::ToString;

    const SLOT: Slot = Slot { index: SlotIndex(0), start: FlashAddr(0x1_0000), len: FlashLen(0x2_0000) };
    const PROMISE: Promise = Promise { version: Version::new(1, 2, 0), secure_version: SecureVersion(1) };

    fn flash(image: &[u8]) -> Flash {
        let flash = Flash::erased(FlashLen(0x3_0000), Fault::default()).unwrap();
        flash.overwrite_externally(SLOT.start, image).unwrap();
        flash
    }

    fn failure(image: &TestImage) -> SelfTestFailure {
        match run(&mut flash(&image.build()), SLOT, Chip::Esp32C3, Some(PROMISE)) {
            Err(SelfTestError::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn passes_what_was_promised() {
        let mut flash = flash(&TestImage::of("1.2.0", 1).build());
        for promise in [Some(PROMISE), None] {
            let registers = run(&mut flash, SLOT, Chip::Esp32C3, promise).unwrap();
            assert_eq!(registers.registers(), ECOWATT);
        }
    }

    #[test]
    fn fails_on_a_register_without_gain() {
        let failure = failure(&TestImage::of("1.2.0", 1).with_zero_gain());
        assert_eq!(failure, SelfTestFailure::ZeroGain { register: 3 });
        assert_eq!(failure.to_string(), "register 3 has gain 0");
        assert_eq!(failure.as_str(), "self-test-zero-gain");
    }

    #[test]
    fn fails_on_no_registers_and_on_two_of_an_id() {
        let mut image = TestImage::of("1.2.0", 1);
        image.registers[5] = image.registers[4];
        assert_eq!(failure(&image), SelfTestFailure::DuplicateRegister { register: 4 });
        image.registers.clear();
        assert_eq!(failure(&image), SelfTestFailure::NoRegisters);
    }

    #[test]
    fn fails_on_another_version_than_promised() {
        let promised = PROMISE.version;
        let found = Version::new(1, 1, 9);
        assert_eq!(failure(&TestImage::of("1.1.9", 1)), SelfTestFailure::Version { promised, found });
        let (promised, found) = (SecureVersion(1), SecureVersion(0));
        assert_eq!(failure(&TestImage::of("1.2.0", 0)), SelfTestFailure::SecureVersion { promised, found });
    }

    #[test]
    fn fails_on_damage_and_on_another_chip() {
        let image = TestImage::of("1.2.0", 1).build();
        let judged = |at: usize, value: u8| {
            let mut image = image.clone();
            image[at] = value;
            run(&mut flash(&image), SLOT, Chip::Esp32C3, Some(PROMISE))
        };
        assert_eq!(judged(0, 0), Err(SelfTestError::Failed(SelfTestFailure::Label(MalformedLabel::Header))));
        let chips = SelfTestFailure::Chip { expected: Chip::Esp32C3, found: Chip::Esp32S3 };
        assert_eq!(judged(12, 9), Err(SelfTestError::Failed(chips)));
        assert!(matches!(judged(0x140, 99), Err(SelfTestError::Failed(SelfTestFailure::RegisterMap(_)))));
    }

    #[test]
    fn a_flash_failure_is_no_verdict() {
        let mut flash = flash(&TestImage::of("1.2.0", 1).build());
        flash.fault().cut_now();
        assert_eq!(run(&mut flash, SLOT, Chip::Esp32C3, None), Err(SelfTestError::Flash(FlashError::PowerLost)));
    }
}
