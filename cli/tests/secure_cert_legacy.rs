//! The oldest form of esp_secure_cert, an NVS partition, from the CSV files that Espressif's tool made of it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;

#[test]
fn the_csv_files_of_espressifs_tool_become_its_partitions_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/securecert");
    for name in ["legacy-nvs-ds", "legacy-nvs-nods"] {
        let (csv, out) = (format!("{name}.csv"), folder.path().join(name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_cotter"));
        command.current_dir(vectors).args(["nvs", "build", "--size", "0x3000", "-o", out.to_str().unwrap(), &csv]);
        command.assert().success();
        assert!(std::fs::read(&out).unwrap() == std::fs::read(format!("{vectors}/{name}.bin")).unwrap(), "{name}");
    }
}
