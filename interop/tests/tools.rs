//! The harness itself: the pinned versions are the ones that run, and a refusal is seen as one.

use cotter_interop::{temp_dir, tools};

#[test]
fn runs_the_pinned_versions() {
    let versions = tools().versions();
    println!("{versions}");
    if std::env::var_os("COTTER_TOOLS").is_none() {
        assert!(versions.starts_with("esptool 5.6.0, esp-idf-nvs-partition-gen 0.3.0, "), "{versions}");
    }
    assert!(tools().esptool(["version"]).accepted().contains("5."));
    assert!(tools().openssl(["version"]).accepted().contains("SSL"));
}

#[test]
fn sees_a_refusal_as_one() {
    let dir = temp_dir();
    let path = dir.path().join("not-an-image.bin");
    std::fs::write(&path, [0x5A; 64]).unwrap();
    let output = tools().esptool(["image-info".as_ref(), path.as_os_str()]).refused();
    assert!(output.contains("magic"), "{output}");
}

#[test]
fn every_tool_answers() {
    assert!(tools().espsecure(["--help"]).accepted().contains("sign-data"));
    assert!(tools().espefuse(["--help"]).accepted().contains("burn"));
    assert!(tools().nvs_partition_gen(["--help"]).accepted().contains("generate"));
}
