//! The QEMU process: one RISC-V core, memory from 0 on, and a stub that GDB's protocol is spoken with.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::qemu::QEMU;

/// The process; it ends with this value.
pub(crate) struct Qemu {
    child: Child,
    /// Holds the socket and what is loaded.
    folder: PathBuf,
}

impl Qemu {
    /// A stopped core; `memory` is what is not 0, as address and content.
    pub(crate) fn start(memory: &[(u32, Vec<u8>)]) -> Result<(Self, UnixStream)> {
        // The path of a Unix socket is short: not below the checkout, wherever that is.
        let name = format!("cotter-emulate-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let socket = folder.join("gdb");
        let mut command = Command::new(QEMU);
        // The extensions of riscv32imc, and no privilege but the machine's.
        command.args("-M none -cpu rv32,a=false,f=false,d=false,s=false,u=false,h=false -m 2040M -S".split(' '));
        command.args("-display none -serial none -monitor none -nodefaults -gdb".split(' '));
        command.arg(format!("unix:{},server=on,wait=off", socket.display()));
        for (address, content) in memory {
            let file = folder.join(format!("{address:08x}"));
            fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
            command.arg("-device").arg(format!("loader,file={},addr={address:#x},force-raw=on", file.display()));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = child.spawn().with_context(|| format!("cannot start {QEMU}"))?;
        let mut qemu = Self { child, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return Ok((qemu, stream)),
                Err(error) if Instant::now() > deadline => bail!("{QEMU} does not listen: {error}"),
                Err(_) => {}
            }
            if let Some(status) = qemu.child.try_wait()? {
                let mut said = String::new();
                if let Some(mut stderr) = qemu.child.stderr.take() {
                    stderr.read_to_string(&mut said)?;
                }
                bail!("{QEMU} ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

static NEXT: AtomicU32 = AtomicU32::new(0);
