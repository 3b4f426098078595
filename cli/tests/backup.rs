//! `cotter backup` as its users call it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_server::init::{InitOptions, init};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn cotter(directory: &Path, arguments: &str) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("cotter").unwrap();
    command.current_dir(directory).args(arguments.split(' ')).assert()
}

fn host(directory: &Path) {
    let options = InitOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: "first".parse().unwrap(),
        project: "app".into(),
        manifest_keys: vec!["a.pem".into()],
        manifest_required: 1,
        secure_boot_digests: vec![[0xab; 32]],
    };
    init(&directory.join("server"), &options).unwrap();
    for name in ["a.pem", "server.pem", "server.key"] {
        std::fs::write(directory.join("server").join(name), name).unwrap();
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn two_of_three_custodians_restore_and_one_is_told_that_he_is_alone() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    host(directory);
    let make = "backup make --config server/cotter.toml --custodians 3 --threshold 2 --shares shares a.backup";
    let made = cotter(directory, &format!("--json {make}")).success();
    let made: serde_json::Value = serde_json::from_slice(&made.get_output().stdout).unwrap();
    assert_eq!((&made["result"], &made["threshold"]), (&"made".into(), &2.into()));
    assert_eq!(made["shares"].as_array().unwrap().len(), 3);
    for share in 1..=3 {
        let path = directory.join(format!("shares/share-{share}.txt"));
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let alone = cotter(directory, "backup check --share shares/share-2.txt a.backup").failure().code(1);
    assert!(text(&alone.get_output().stderr).contains("2 custodians are needed, 1 gave their share"));
    let two = "--share shares/share-3.txt --share shares/share-1.txt";
    let checked = cotter(directory, &format!("backup check {two} a.backup")).success();
    assert!(text(&checked.get_output().stdout).contains("checked: whole"));
    cotter(directory, &format!("backup restore {two} --into again a.backup")).success();
    assert!(directory.join("again/cotter.toml").exists());
    let over = cotter(directory, &format!("backup restore {two} --into again a.backup")).failure().code(1);
    assert!(text(&over.get_output().stderr).contains("already exists"));

    // The same backup again is another one; nothing is overwritten, and no share is left over.
    let again = cotter(directory, make).failure().code(1);
    assert!(text(&again.get_output().stderr).contains("share-1.txt"), "{}", text(&again.get_output().stderr));
}

#[test]
fn bad_usage_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    cotter(directory.path(), "backup make --custodians 0 --shares s a.backup").failure().code(2);
    cotter(directory.path(), "backup check a.backup").failure().code(2);
    std::fs::write(directory.path().join("s.txt"), "cotter-share-1:zz").unwrap();
    let refused = cotter(directory.path(), "backup check --share s.txt a.backup").failure().code(1);
    assert!(text(&refused.get_output().stderr).contains("s.txt: its check digits differ"));
}
