//! Hands our linker script to the linker by its absolute path, so that the build works from any folder.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for every build script");
    println!("cargo:rustc-link-arg-bins=-T{folder}/bench.x");
    println!("cargo:rerun-if-changed=bench.x");
}
