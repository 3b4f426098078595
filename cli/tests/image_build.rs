//! `cotter image build` as a person types it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

/// Runs in the folder of golden images; returns exit code, stdout and stderr. `OUT/` stands for the folder.
fn cotter(folder: &Path, arguments: &str) -> (i32, Vec<u8>, String) {
    let arguments = arguments.replace("OUT", folder.to_str().unwrap());
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/image")).join(name)).unwrap()
}

#[test]
fn builds_every_golden_image_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let dio = "--flash-mode dio --flash-size 4MB";
    let chips =
        ["esp32", "esp32s2", "esp32s3", "esp32c2", "esp32c3", "esp32c5", "esp32c6", "esp32c61", "esp32h2", "esp32p4"];
    let mut cases: Vec<(String, String, String)> = chips
        .iter()
        .map(|chip| (format!("--chip {chip} {dio} --max-rev-full 399"), format!("{chip}.elf"), format!("{chip}.bin")))
        .collect();
    for (arguments, elf, bin) in [
        (format!("--chip esp32 {dio} --secure-pad"), "esp32.elf", "esp32-secure-pad-v1.bin"),
        (format!("--chip esp32c3 {dio} --secure-pad-v2"), "esp32c3.elf", "esp32c3-secure-pad-v2.bin"),
        (
            "--chip esp32c3 --no-digest --flash-mode qio --flash-freq 40m --flash-size 2MB".into(),
            "esp32c3.elf",
            "esp32c3-nodigest.bin",
        ),
        (format!("--chip esp32 {dio}"), "esp32-bootloader.elf", "esp32-bootloader.bin"),
        (format!("--chip esp32c3 {dio}"), "esp32c3-bootloader.elf", "esp32c3-bootloader.bin"),
    ] {
        cases.push((arguments, elf.into(), bin.into()));
    }
    for (arguments, elf, bin) in cases {
        let (code, _, error) = cotter(folder.path(), &format!("image build {arguments} -o OUT/image {elf}"));
        assert_eq!(code, 0, "{arguments}: {error}");
        assert!(std::fs::read(folder.path().join("image")).unwrap() == golden(&bin), "{arguments} {bin}");
        let (_, piped, _) = cotter(folder.path(), &format!("image build {arguments} -o - {elf}"));
        assert!(piped == golden(&bin), "a pipe gets the image and nothing else");
    }
}

#[test]
fn the_report_lists_segments_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let build = "--json image build --chip esp32 --secure-pad -o OUT/image esp32.elf";
    let (code, out, error) = cotter(folder.path(), build);
    let report: Value = serde_json::from_slice(&out).unwrap_or_else(|bad| panic!("{bad}: {error}"));
    assert_eq!((code, &report["chip"], &report["padded_for"]), (0, &"esp32".into(), &"Secure Boot V1".into()));
    assert_eq!((&report["length"], &report["segments"][4]["load_address"]), (&130_992.into(), &0x400d_0020u32.into()));
    assert_eq!(report["segments"][5]["region"], "padding");
    let (code, out, _) = cotter(folder.path(), "image info OUT/image");
    let text = String::from_utf8(out).unwrap();
    assert!(code == 0 && text.contains("padded for    Secure Boot V1"), "{text}");
}

#[test]
fn reads_an_elf_file_from_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.args("image build --chip esp32c3 --flash-mode dio --flash-size 4MB -o".split(' '));
    let output =
        command.arg(folder.path().join("image")).arg("-").write_stdin(golden("esp32c3-bootloader.elf")).output();
    assert!(output.unwrap().status.success());
    assert!(std::fs::read(folder.path().join("image")).unwrap() == golden("esp32c3-bootloader.bin"));
}

#[test]
fn refuses_by_name_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, refusal) in [
        ("--chip esp32c3 --secure-pad esp32c3.elf", "esp32c3 has no Secure Boot V1 to pad for"),
        (
            "--chip esp32c3 --secure-pad-v2 --no-digest esp32c3.elf",
            "padding for a signature needs the appended SHA-256",
        ),
        ("--chip esp32c3 --flash-frequency 60m esp32c3.elf", "esp32c3 cannot run its flash at 60 MHz"),
        ("--chip esp32c3 --flash-mmu-page-size 32KB esp32c3.elf", "esp32c3 has no MMU page of 0x8000 bytes"),
        ("--chip esp32c2 --flash-mmu-page-size 8KB esp32c2.elf", "esp32c2 has no MMU page of 0x2000 bytes"),
        ("--chip esp32c3 --elf-sha256-offset 0x20 esp32c3.elf", "for the ELF file's SHA-256 are not zero"),
        ("--chip esp32c3 --use-segments esp32c3.bin", "not an ELF file"),
        ("--chip esp32c3 esp32c3.bin", "not an ELF file"),
    ] {
        let (code, _, error) = cotter(folder.path(), &format!("image build -o OUT/image {arguments}"));
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
        assert!(!folder.path().join("image").exists());
    }
    for usage in [
        "--chip esp8266 esp32.elf",
        "--chip esp32 --flash-size 3MB esp32.elf",
        "--chip esp32 --pad-to-size 8KB --ram-only-header esp32.elf",
    ] {
        assert_eq!(cotter(folder.path(), &format!("image build -o OUT/image {usage}")).0, 2, "{usage}");
    }
}
