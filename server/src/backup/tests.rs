use super::*;
use crate::init::{InitOptions, init};

/// A server that was made ready and never started; the directory goes away with it.
fn host() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let made = init(
        &directory.path().join("server"),
        &InitOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin: "first".parse().unwrap(),
            project: "app".into(),
            manifest_keys: vec!["a.pem".into(), "b.pem".into()],
            manifest_required: 2,
            secure_boot_digests: vec![[0xab; 32]],
        },
    )
    .unwrap();
    for name in ["a.pem", "b.pem", "server.pem", "server.key"] {
        std::fs::write(directory.path().join("server").join(name), name).unwrap();
    }
    (directory, made.config)
}

fn made(directory: &Path, config: &Path, custodians: Custodians) -> (PathBuf, Vec<Share>) {
    let file = directory.join("a.backup");
    let shares = make(config, &file, custodians, |_| Ok(())).unwrap().shares;
    (file, shares)
}

#[test]
fn every_file_of_the_server_comes_back() {
    let (directory, config) = host();
    let directory = directory.path();
    let release = ReleaseId([5; 32]);
    std::fs::create_dir(directory.join("server/artifacts")).unwrap();
    std::fs::write(directory.join(format!("server/artifacts/{release}.bin")), vec![9; 200_000]).unwrap();
    let (file, shares) = made(directory, &config, Custodians::new(2, 3).unwrap());
    let into = directory.join("restored");
    let restored = restore(&file, &shares[1..], &into).unwrap();
    assert_eq!((restored.audit_entries, restored.artifacts, restored.sealed_keys), (1, 1, 0));

    let (mut before, mut after) = (Config::read(&config).unwrap(), Config::read(&into.join("cotter.toml")).unwrap());
    assert_eq!(after.data, into.join("."));
    assert_eq!(after.firmware.secure_boot_digests, before.firmware.secure_boot_digests);
    let contents = |config: &mut Config| -> Vec<_> {
        config.files().into_iter().map(|(key, path)| (key, std::fs::read(path).unwrap())).collect()
    };
    assert_eq!(contents(&mut after), contents(&mut before));
    assert_eq!(std::fs::read(into.join(format!("artifacts/{release}.bin"))).unwrap(), vec![9; 200_000]);
    let store = host::open(&after).unwrap();
    assert_eq!(host::tokens(&store).unwrap().len(), 1);
}

#[test]
fn nothing_of_a_restored_server_is_readable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, config) = host();
    let (file, shares) = made(directory.path(), &config, Custodians::ALONE);
    let into = directory.path().join("restored");
    restore(&file, &shares, &into).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(&into), 0);
    for entry in std::fs::read_dir(&into).unwrap() {
        let path = entry.unwrap().path();
        // SQLite makes its own files beside the database like the database.
        assert_eq!(mode(&path), 0, "{}", path.display());
    }
}

#[test]
fn nothing_is_overwritten() {
    let (directory, config) = host();
    let (file, shares) = made(directory.path(), &config, Custodians::ALONE);
    let again = make(&config, &file, Custodians::ALONE, |_| Ok(()));
    assert!(matches!(again, Err(BackupError::Write(error)) if error.kind() == io::ErrorKind::AlreadyExists));
    let over = restore(&file, &shares, directory.path());
    assert!(matches!(over, Err(BackupError::Write(error)) if error.kind() == io::ErrorKind::AlreadyExists));
}

#[test]
fn a_backup_whose_shares_cannot_be_kept_is_not_there() {
    let (directory, config) = host();
    let file = directory.path().join("a.backup");
    let refused = make(&config, &file, Custodians::ALONE, |_| Err(KeyFileError::NoRandomness));
    assert!(matches!(refused, Err(BackupError::KeyFile(KeyFileError::NoRandomness))));
    assert!(!file.exists());
}

#[test]
fn whatever_byte_is_changed_nothing_is_restored() {
    let (directory, config) = host();
    let (file, shares) = made(directory.path(), &config, Custodians::ALONE);
    let whole = std::fs::read(&file).unwrap();
    let into = directory.path().join("restored");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&file, changed).unwrap();
        let why = restore(&file, &shares, &into).err().unwrap();
        // The id in the header belongs to the shares too.
        let expected = matches!(
            why,
            BackupError::NotABackup | BackupError::OtherBackup { .. } | BackupError::WrongKey | BackupError::Damaged
        );
        assert!(expected, "byte {at}: {why}");
        assert!(!into.exists());
        refused += 1;
    }
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        std::fs::write(&file, &whole[..length]).unwrap();
        assert!(restore(&file, &shares, &into).is_err());
        assert!(!into.exists());
        refused += 1;
    }
    println!("{refused} damaged backups refused");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the server and the backup, nothing half restored: {left:?}");
}

#[test]
fn a_database_that_another_master_key_sealed_in_part_is_no_backup() {
    let (directory, config) = host();
    let configuration = Config::read(&config).unwrap();
    let store = host::open(&configuration).unwrap();
    let other = MasterKey::new(&key_file::random_key().unwrap());
    let master = MasterKey::new(&configuration.keys.master.load().unwrap());
    // The first one that is looked at opens.
    for (name, key) in [("a", &master), ("b", &other)] {
        let id: cotter_wire::ids::DeviceId = name.parse().unwrap();
        let record = crate::store::DeviceRecord {
            id,
            chip: cotter_formats::chip::Chip::Esp32C3,
            mac: [0; 6],
            epoch: cotter_wire::ids::KeyEpoch(1),
            sealed_root_key: key.seal(crate::at_rest::Use::DeviceRootKey, id.as_bytes(), &[1; 32]).unwrap(),
            nonce_floor: cotter_wire::ids::Nonce(0),
            secure_boot_digest: [0; 32],
            enrolled_at: 0,
        };
        let text = String::new;
        let note = crate::store::AuditEntry { at: 0, by: text(), subject: text(), event: text(), detail: text() };
        host::wait(crate::store::Store::enrol(&store, record, note)).unwrap();
    }
    let (file, shares) = made(directory.path(), &config, Custodians::ALONE);
    let refused = check(&file, &shares);
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Corrupt { column: "sealed_root_key" }))));
}
