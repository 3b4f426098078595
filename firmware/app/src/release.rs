//! What sets the releases of this application apart.

use cotter_device::self_test::Promise;
use cotter_wire::ids::SecureVersion;
use cotter_wire::registers::{ECOWATT, RegisterMap};
use cotter_wire::version::Version;

/// The name in the application descriptor and in update manifests.
pub(crate) const PROJECT: &str = "cotter-app";

/// `major.minor.patch`.
#[cfg(release = "1.0.0")]
pub(crate) const VERSION: &str = "1.0.0";
/// `major.minor.patch`.
#[cfg(release = "1.1.0")]
pub(crate) const VERSION: &str = "1.1.0";
/// `major.minor.patch`.
#[cfg(release = "1.2.0")]
pub(crate) const VERSION: &str = "1.2.0";

/// Both, as the device crate compares them.
pub(crate) const THIS: Promise = Promise {
    version: if cfg!(release = "1.0.0") {
        Version::new(1, 0, 0)
    } else if cfg!(release = "1.1.0") {
        Version::new(1, 1, 0)
    } else {
        Version::new(1, 2, 0)
    },
    secure_version: SecureVersion(SECURE_VERSION),
};

/// Anti-rollback: what the chip's eFuses must not exceed for this release to boot.
pub(crate) const SECURE_VERSION: u32 = if cfg!(release = "1.0.0") { 0 } else { 1 };

/// The registers of the inverter. Release 1.2.0 lost the gain of register 3 on the way: its self-test must notice.
pub(crate) const REGISTERS: RegisterMap = {
    let mut registers = ECOWATT;
    if cfg!(release = "1.2.0") {
        registers[3].gain = 0;
    }
    RegisterMap::new(&registers).expect("ten registers fit")
};
