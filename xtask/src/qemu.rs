//! QEMU for RISC-V.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

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

/// Runs a program on the `virt` board with parameter 0 set; returns the numbers that it printed, `name=number` each.
///
/// # Errors
/// It did not end well, or printed something else.
pub(crate) fn numbers(program: &Path, parameter: u32) -> Result<BTreeMap<String, u32>> {
    let mut qemu = Command::new(QEMU);
    qemu.args("-M virt -cpu rv32,a=false,f=false,d=false -smp 1 -m 16M -bios none".split(' '));
    qemu.args("-display none -serial stdio -monitor none -icount shift=0".split(' '));
    // PARAMETERS of firmware/bench/src/board.rs.
    qemu.arg("-device").arg(format!("loader,addr=0x80ff0000,data={parameter},data-len=4"));
    let printed = output(qemu.arg("-kernel").arg(program))?;
    let mut values = BTreeMap::new();
    for line in printed.lines() {
        let Some((name, number)) = line.trim().split_once('=') else { bail!("{} printed {line:?}", program.display()) };
        values.insert(name.to_owned(), number.parse().with_context(|| format!("{line:?} is no number"))?);
    }
    ensure!(!values.is_empty(), "{} printed nothing", program.display());
    Ok(values)
}
