//! The static library for x86-64, and C programs that are linked with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// All of them are errors.
const WARNINGS: [&str; 8] =
    ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-align", "-pedantic", "-Werror"];

/// `firmware/link-c` built as `cargo xtask link-c` builds it, once per run.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let root = Path::new(ROOT);
        let target = root.join("target/link-c");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root).args(["build", "--quiet", "--release", "--locked", "--target", TARGET]);
        cargo.arg("--manifest-path").arg(root.join("firmware/link-c/Cargo.toml"));
        ran(cargo.arg("--target-dir").arg(&target));
        target.join(TARGET).join("release/libcotter_link.a")
    })
}

/// A source below `firmware/link-c` or of these tests.
pub fn source(name: &str) -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/link_c").join(name);
    if ours.exists() { ours } else { Path::new(ROOT).join("firmware/link-c").join(name) }
}

/// Compiles and links, with every warning an error.
pub fn linked(name: &str, into: &Path, flags: &[&str]) -> PathBuf {
    let program = into.join(Path::new(name).file_stem().unwrap());
    let mut gcc = compiler("gcc", "c99", flags);
    ran(gcc.arg(source(name)).arg(library()).arg("-o").arg(&program));
    program
}

/// Compiles only, as another language.
pub fn compiles(name: &str, language: &str, standard: &str) {
    let mut gcc = compiler(if language == "c++" { "g++" } else { "gcc" }, standard, &["-x", language, "-fsyntax-only"]);
    ran(gcc.arg(source(name)));
}

/// Runs to the end and returns what it printed; panics with that unless it ends with 0.
pub fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot start {command:?}: {error}\nhelp: `cargo xtask tools` says or installs what is missing")
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    text
}

fn compiler(program: &str, standard: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("-std={standard}")).args(WARNINGS).args(["-g", "-O1"]).args(flags);
    command.arg("-I").arg(source("include"));
    command
}

/// Each access that is not the program's own, and each undefined operation, ends it with an error.
pub const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

const TARGET: &str = "x86_64-unknown-linux-gnu";
