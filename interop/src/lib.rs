//! Cross-checks against tools that we did not write. This library is only the harness; the checks are in `tests/`.
//!
//! | file | noun |
//! |---|---|
//! | `tools` | Espressif's tools in the project's own venv, and the system's OpenSSL |
//! | `run` | one finished run of a tool, accepted or refused |
//! | `hex` | digits, as other tools print and read them |
//! | `server` | what a test's server is made with |
//! | `softhsm` | a fresh SoftHSM token, and the process that a test needs to use it |
//! | `generator` | seeded random inputs; the seed is printed and can be given again |
//!
//! A missing tool fails the test with the command that installs it; nothing is ever skipped.

// Off-style on purpose: this crate is linked into tests only, where a failed expectation is a panic with the evidence.
#![allow(clippy::panic, clippy::print_stdout)]

mod generator;
mod hex;
mod run;
mod server;
mod softhsm;
mod tools;

pub use generator::Generator;
pub use hex::{hex, unhex};
pub use run::ToolRun;
pub use server::server_options;
pub use softhsm::SoftHsm;
pub use tools::{Tools, tools};

/// A fresh directory that is removed when it goes out of scope. Panics when the system has none to give.
#[must_use]
pub fn temp_dir() -> tempfile::TempDir {
    match tempfile::Builder::new().prefix("cotter-interop-").tempdir() {
        Ok(dir) => dir,
        Err(error) => panic!("no temporary directory: {error}"),
    }
}
