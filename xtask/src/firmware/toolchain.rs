//! A compiler for riscv32imc: Debian's own packages, or a rustup toolchain that has the target.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{output, run};

/// What the chip runs: no atomics, no floating point.
pub(crate) const TARGET: &str = "riscv32imc-unknown-none-elf";

/// A Rust toolchain that can build for [`TARGET`].
#[derive(Debug)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    /// First on PATH, so that this cargo runs its own rustc.
    search_path: OsString,
    /// `rustc --version --verbose`, one line.
    pub(crate) rustc: String,
    /// The linker's version line.
    pub(crate) linker: String,
    /// Only with Debian's packages: ld.lld by name, because they hold no rust-lld.
    lld: Option<PathBuf>,
    /// Compile `core` ourselves, because no compiled one is installed.
    build_std: bool,
    /// Where the standard library's sources are, under both names if one is a symbolic link.
    library_sources: Vec<PathBuf>,
}

impl Toolchain {
    /// Debian's packages if they are installed, else the rustup toolchain on PATH, else (on a Debian machine, as root)
    /// installs Debian's packages.
    ///
    /// # Errors
    /// Says what is missing and how to get it.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if let Some(found) = Self::debian()? {
            return Ok(found);
        }
        if let Some(found) = Self::rustup()? {
            return Ok(found);
        }
        if Path::new("/usr/bin/apt-get").exists() && output(Command::new("id").arg("-u"))?.trim() == "0" {
            apt_install(PACKAGES)?;
            if let Some(found) = Self::debian()? {
                return Ok(found);
            }
        }
        anyhow::bail!(
            "no Rust toolchain here builds for {TARGET}. Either\n  \
             rustup target add {TARGET}\nor, on Debian 12 or later,\n  sudo apt-get install --no-install-recommends {}",
            PACKAGES.join(" ")
        )
    }

    /// `cargo <verb>` with this toolchain, for [`TARGET`], in `workspace`, with these rustc flags.
    ///
    /// Nothing of the caller's own build reaches it: not the variables that `cargo xtask` was started with, and none
    /// that would configure esp-hal.
    pub(crate) fn cargo(&self, workspace: &Path, verb: &str, flags: &[String], library: Library) -> Command {
        let mut cargo = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let foreign = ["CARGO_PKG_", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_", "ESP_"];
            let exact = ["RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN", "CARGO"];
            let manifest = ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PRIMARY_PACKAGE", "CARGO_BIN_NAME"];
            if foreign.iter().any(|prefix| name.starts_with(prefix))
                || exact.contains(&&*name)
                || manifest.contains(&&*name)
            {
                cargo.env_remove(&*name);
            }
        }
        cargo.current_dir(workspace).env("PATH", &self.search_path);
        cargo.args([verb, "--quiet", "--release", "--locked", "--target", TARGET]);
        let mut flags = flags.to_vec();
        flags.extend(FLAGS.iter().map(|flag| (*flag).to_owned()));
        for source in &self.library_sources {
            flags.push(format!("--remap-path-prefix={}=/rust", source.display()));
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        if let Some(lld) = &self.lld {
            cargo.env("CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER", lld);
        }
        if self.build_std {
            // build-std is the one unstable option, and there is no nightly in these packages.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg(match library {
                Library::Core => "-Zbuild-std=core",
                Library::CoreAndAlloc => "-Zbuild-std=core,alloc",
            });
        }
        cargo
    }

    /// Adds to a workspace's Cargo.lock what its manifests ask for and it does not have; changes nothing else.
    pub(crate) fn complete_lock(&self, workspace: &Path) -> anyhow::Result<()> {
        let mut cargo = Command::new(&self.cargo);
        cargo.env("PATH", &self.search_path).env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace);
        output(cargo.args(["metadata", "--quiet", "--format-version=1"])).map(drop)
    }

    /// True if there is no `alloc` at all in a build with [`Library::Core`], rather than one that nobody may link.
    pub(crate) fn leaves_out_alloc(&self) -> bool {
        self.build_std
    }

    /// The first part of rustc's own description.
    pub(crate) fn name(&self) -> &str {
        self.rustc.split(';').next().unwrap_or_default()
    }

    fn debian() -> anyhow::Result<Option<Self>> {
        let (cargo, rustc) = (Path::new("/usr/bin/cargo"), Path::new("/usr/bin/rustc"));
        let library = Path::new("/usr/lib/rustlib/src/rust");
        if !cargo.exists() || !rustc.exists() || !library.join("library/core").exists() {
            return Ok(None);
        }
        let Some(lld) = newest_lld()? else { return Ok(None) };
        let mut library_sources = vec![library.to_owned()];
        library_sources.extend(library.canonicalize().ok().filter(|real| real != library));
        Ok(Some(Self {
            cargo: cargo.to_owned(),
            search_path: "/usr/bin:/bin".into(),
            rustc: one_line(&output(Command::new(rustc).args(["--version", "--verbose"]))?),
            linker: output(Command::new(&lld).arg("--version"))?.trim().to_owned(),
            lld: Some(lld),
            build_std: true,
            library_sources,
        }))
    }

    fn rustup() -> anyhow::Result<Option<Self>> {
        let Ok(sysroot) = output(Command::new("rustc").args(["--print", "sysroot"])) else { return Ok(None) };
        let sysroot = PathBuf::from(sysroot.trim());
        let library = sysroot.join("lib/rustlib/src/rust");
        let compiled = sysroot.join("lib/rustlib").join(TARGET).join("lib").exists();
        let cargo = sysroot.join("bin/cargo");
        if !cargo.exists() || !(compiled || library.join("library/core").exists()) || sysroot == Path::new("/usr") {
            return Ok(None);
        }
        let mut search_path = OsString::from(sysroot.join("bin"));
        if let Some(rest) = std::env::var_os("PATH") {
            search_path.push(":");
            search_path.push(rest);
        }
        let rustc = one_line(&output(Command::new(sysroot.join("bin/rustc")).args(["--version", "--verbose"]))?);
        Ok(Some(Self {
            cargo,
            search_path,
            rustc,
            linker: "rust-lld of the same toolchain".to_owned(),
            lld: None,
            build_std: !compiled,
            library_sources: vec![library],
        }))
    }
}

/// Which parts of the standard library a build may use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Library {
    /// No allocator and no way to ask for one.
    Core,
    /// esp-hal names `alloc` in places; nothing of it is linked unless a program has an allocator.
    CoreAndAlloc,
}

/// Installs Debian packages; only called as root.
///
/// # Errors
/// apt's own.
pub(crate) fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    println!("installing {}", packages.join(" "));
    run(Command::new("/usr/bin/apt-get").args(["-qq", "update"]))?;
    run(Command::new("/usr/bin/apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "install", "-y", "--no-install-recommends"])
        .args(packages))
}

/// `/usr/bin/ld.lld-NN` with the highest number, else `/usr/bin/ld.lld`.
fn newest_lld() -> anyhow::Result<Option<PathBuf>> {
    let mut numbered = Vec::new();
    for entry in std::fs::read_dir("/usr/bin")? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if let Some(number) = name.strip_prefix("ld.lld-").and_then(|number| number.parse::<u32>().ok()) {
            numbered.push(number);
        }
    }
    let numbered = numbered.into_iter().max().map(|number| PathBuf::from(format!("/usr/bin/ld.lld-{number}")));
    Ok(numbered.or_else(|| Some(PathBuf::from("/usr/bin/ld.lld")).filter(|plain| plain.exists())))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// As in firmware/.cargo/config.toml, which the environment's flags replace.
const FLAGS: [&str; 5] = [
    "-Cforce-frame-pointers",
    "--cfg=sha2_backend=\"soft\"",
    "--cfg=sha2_backend_soft=\"compact\"",
    "--cfg=aes_backend=\"soft\"",
    "--cfg=aes_backend_soft=\"compact\"",
];

/// Debian's compiler, cargo, standard library sources and linker.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
