//! Chooses the release to build (`COTTER_APP_VERSION`, default 1.0.0) and links the way esp-hal wants it.

/// Every release there is; what sets them apart is in `src/release.rs`.
const RELEASES: [&str; 3] = ["1.0.0", "1.1.0", "1.2.0"];

fn main() {
    let release = std::env::var("COTTER_APP_VERSION").unwrap_or_else(|_| RELEASES[0].to_owned());
    assert!(RELEASES.contains(&release.as_str()), "COTTER_APP_VERSION={release}, but there are only {RELEASES:?}");
    println!("cargo:rerun-if-env-changed=COTTER_APP_VERSION");
    println!("cargo:rustc-check-cfg=cfg(release, values(\"1.0.0\", \"1.1.0\", \"1.2.0\"))");
    println!("cargo:rustc-cfg=release=\"{release}\"");
    println!("cargo:rustc-link-arg-bins=-Tlinkall.x");
}
