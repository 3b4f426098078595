//! A fresh SoftHSM token in a temporary folder.

use crate::run::ToolRun;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A token named [`SoftHsm::LABEL`] with the PIN [`SoftHsm::PIN`]. SoftHSM finds it by the environment of the process, so
/// a test that loads the library runs in a process of its own: see [`SoftHsm::run`].
#[derive(Debug)]
pub struct SoftHsm {
    folder: PathBuf,
}

impl SoftHsm {
    /// The token's name.
    pub const LABEL: &str = "cotter";
    /// The user's PIN.
    pub const PIN: &str = "4711";

    /// Runs `body` with a token, in a second process of this test. `test`: the path of the test function, as
    /// `cargo test` lists it. Panics if the second process fails, with its output.
    pub fn run(test: &str, body: impl FnOnce(&Self)) {
        if let Some(folder) = std::env::var_os(FOLDER) {
            return body(&Self { folder: folder.into() });
        }
        let dir = crate::temp_dir();
        let token = Self { folder: dir.path().to_owned() };
        let tokens = dir.path().join("tokens");
        let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        assert!(
            std::fs::create_dir(&tokens).is_ok() && std::fs::write(token.conf(), conf).is_ok(),
            "{}",
            dir.path().display()
        );
        token
            .util(["--init-token", "--free", "--label", Self::LABEL, "--so-pin", "123456", "--pin", Self::PIN])
            .accepted();
        let this = std::env::current_exe().unwrap_or_default();
        let mut again = Command::new(this);
        again.args([test, "--exact", "--nocapture"]).env("SOFTHSM2_CONF", token.conf()).env(FOLDER, &token.folder);
        let told = ToolRun::of(&mut again, "run this test with `cargo test`").accepted();
        assert!(told.contains("1 passed"), "{test} is not the name of the test:\n{told}");
        println!("{told}");
    }

    /// The library to load.
    #[must_use]
    pub fn module() -> PathBuf {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
        let found = places.into_iter().map(PathBuf::from).find(|place| place.is_file());
        found.unwrap_or_else(|| panic!("no libsofthsm2.so\nhelp: {INSTALL}"))
    }

    /// Puts a private key (PEM of any kind that OpenSSL reads) on the token. `id`: hexadecimal.
    pub fn import(&self, pem: &Path, label: &str, id: &str) {
        let pkcs8 = self.folder.join("import.pem");
        let text = pkcs8.to_string_lossy();
        let convert = ["pkcs8", "-topk8", "-nocrypt", "-in", &pem.to_string_lossy(), "-out", &text].map(str::to_owned);
        crate::tools().openssl(convert).accepted();
        self.util(["--token", Self::LABEL, "--pin", Self::PIN, "--import", &text, "--label", label, "--id", id])
            .accepted();
    }

    fn util<const N: usize>(&self, arguments: [&str; N]) -> ToolRun {
        let mut command = Command::new("softhsm2-util");
        ToolRun::of(command.args(arguments).env("SOFTHSM2_CONF", self.conf()), INSTALL)
    }

    fn conf(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }
}

const FOLDER: &str = "COTTER_TEST_SOFTHSM";
const INSTALL: &str = "run `cargo xtask tools`, or install SoftHSM 2, on Debian `apt-get install softhsm2`";
