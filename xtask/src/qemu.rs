//! QEMU for RISC-V.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::firmware::apt_install;
use crate::workspace::output;

/// The program.
pub(crate) const QEMU: &str = "qemu-system-riscv32";

/// QEMU's version; installs it where we may.
///
/// # Errors
/// It is not here; in words, how to get it.
pub(crate) fn install() -> Result<String> {
    let version = || output(Command::new(QEMU).arg("--version"));
    let found = match version() {
        Ok(found) => found,
        Err(_) if Path::new("/usr/bin/apt-get").exists() && output(Command::new("id").arg("-u"))?.trim() == "0" => {
            apt_install(&["qemu-system-misc"])?;
            version()?
        }
        Err(_) => bail!("{QEMU} is missing; on Debian: sudo apt-get install --no-install-recommends qemu-system-misc"),
    };
    let first = found.lines().next().unwrap_or_default();
    let number = first.split("version ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or(first);
    Ok(format!("QEMU {number}"))
}
