//! Espressif's tools in the project's own venv, and the system's OpenSSL.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use crate::run::ToolRun;

/// The folder with `python`, `esptool`, `espsecure` and `espefuse`.
#[derive(Debug, Clone)]
pub struct Tools {
    bin: PathBuf,
}

/// Espressif's tools: the folder named by `COTTER_TOOLS`, else the venv that `cargo xtask tools` makes.
/// Panics with that command if they are missing.
#[must_use]
#[track_caller]
pub fn tools() -> Tools {
    let bin = match std::env::var_os("COTTER_TOOLS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/espressif-tools/bin"),
    };
    for program in ["python", "esptool", "espsecure", "espefuse"] {
        assert!(
            bin.join(program).is_file(),
            "no {program} in {}\nhelp: run `cargo xtask tools` (or set COTTER_TOOLS to a bin folder that has it)",
            bin.display()
        );
    }
    let tools = Tools { bin };
    static ANNOUNCED: Once = Once::new();
    ANNOUNCED.call_once(|| println!("{}", tools.versions()));
    tools
}

impl Tools {
    /// `esptool ARGUMENTS`
    pub fn esptool(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        self.script("esptool", arguments)
    }

    /// `espsecure ARGUMENTS`
    pub fn espsecure(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        self.script("espsecure", arguments)
    }

    /// `espefuse ARGUMENTS`
    pub fn espefuse(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        self.script("espefuse", arguments)
    }

    /// `python -m esp_idf_nvs_partition_gen ARGUMENTS`. It reports some bad inputs on its output and exits with 0.
    pub fn nvs_partition_gen(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        let mut command = self.command("python");
        command.args(["-m", "esp_idf_nvs_partition_gen"]).args(arguments);
        ToolRun::of(&mut command, INSTALL)
    }

    /// `configure_esp_secure_cert.py ARGUMENTS` in `folder`, where it leaves `esp_secure_cert_data/`.
    pub fn secure_cert(&self, folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        let mut command = self.command("python");
        command.arg(self.bin.join("configure_esp_secure_cert.py")).args(arguments).current_dir(folder);
        // It finds esptool's scripts by their names.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
        // The word that espefuse wants to hear before it burns.
        ToolRun::told(&mut command, "BURN\n", INSTALL)
    }

    /// `python ARGUMENTS` with Espressif's packages importable, for what their command lines do not offer.
    pub fn python(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        self.script("python", arguments)
    }

    /// `python -c SCRIPT WORDS FILE`, where the file holds the cases. Panics where it cannot be written.
    pub fn python_on(&self, script: &str, words: &[&str], cases: &[u8]) -> ToolRun {
        let dir = crate::temp_dir();
        let path = dir.path().join("cases.json");
        if let Err(error) = std::fs::write(&path, cases) {
            panic!("{}: {error}", path.display());
        }
        let words = ["-c", script].into_iter().chain(words.iter().copied()).map(OsStr::new);
        self.python(words.chain([path.as_os_str()]))
    }

    /// `python`, to be started by the caller, for what talks while it runs.
    #[must_use]
    pub fn python_command(&self) -> Command {
        self.command("python")
    }

    /// `schemathesis ARGUMENTS`
    pub fn schemathesis(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        self.script("schemathesis", arguments)
    }

    /// The system's `openssl ARGUMENTS`.
    pub fn openssl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        ToolRun::of(Command::new("openssl").args(arguments), "install OpenSSL, on Debian `apt-get install openssl`")
    }

    /// `espflash ARGUMENTS` on a pseudo-terminal, which it would not open by itself: see `on-terminal.sh`.
    pub fn espflash(&self, terminal: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::var_os("COTTER_ESPFLASH")
            .map_or_else(|| home.join("../target/espflash/bin/espflash"), PathBuf::from);
        assert!(program.is_file(), "no {}\nhelp: {INSTALL}", program.display());
        let mut command = Command::new("sh");
        command.arg(home.join("on-terminal.sh")).arg(terminal).arg(program).args(arguments);
        command.env("ESPFLASH_PORT", "/dev/full").env("ESPFLASH_SKIP_UPDATE_CHECK", "true").env_remove("RUST_LOG");
        ToolRun::of(&mut command, "a POSIX shell is needed")
    }

    /// `sh SCRIPT ARGUMENTS` in `folder`.
    pub fn shell(&self, folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        ToolRun::of(Command::new("sh").args(arguments).current_dir(folder), "a POSIX shell is needed")
    }

    /// Names and versions in one line, for the record of a cross-check.
    #[must_use]
    pub fn versions(&self) -> String {
        const SCRIPT: &str = "import sys; from importlib.metadata import version; \
            print(*(f'{name} {version(name)}' for name in sys.argv[1:]), 'Python ' + sys.version.split()[0], sep=', ')";
        self.python(["-c", SCRIPT, "esptool", "esp-idf-nvs-partition-gen", "cryptography"]).accepted().trim().to_owned()
    }

    fn script(&self, program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> ToolRun {
        ToolRun::of(self.command(program).args(arguments), INSTALL)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // Plain, unwrapped text whatever the terminal; no configuration file of the user's.
        command.env("NO_COLOR", "1").env("TERM", "dumb").env("COLUMNS", "250").env("PYTHONUTF8", "1");
        command.env_remove("ESPTOOL_CFGFILE").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }
}

const INSTALL: &str = "run `cargo xtask tools`";
