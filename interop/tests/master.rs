//! The server's master key, wrapped by a PKCS#11 token, SoftHSM's: the server starts with it, refuses by name what is
//! not as it was, and a backup brings the devices back without the token.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_formats::chip::Chip;
use cotter_interop::{SoftHsm, server_options, temp_dir, tools};
use cotter_server::at_rest::{MasterKey, Use};
use cotter_server::backup;
use cotter_server::backup::custodian::Custodians;
use cotter_server::config::Config;
use cotter_server::init::{InitError, init_with};
use cotter_server::master::{MasterError, PinState, Pkcs11 as Place, Source, TokenError};
use cotter_server::reseal::{Resealed, reseal};
use cotter_server::store::{AuditEntry, DeviceRecord, Store};
use cotter_server::{host, key_file, master};
use cotter_wire::ids::{DeviceId, KeyEpoch, Nonce};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use std::path::{Path, PathBuf};

/// A place on the token, with the right PIN in a file.
fn place(folder: &Path) -> Place {
    let pin = folder.join("pin");
    if !pin.exists() {
        key_file::write_new(&pin, format!("{}\n", SoftHsm::PIN).as_bytes()).unwrap();
    }
    Place {
        module: SoftHsm::module(),
        token: Some(SoftHsm::LABEL.into()),
        serial: None,
        key: "cotter-master".into(),
        pin_file: Some(pin),
        pin_env: None,
        wrapped: "master.wrapped".into(),
    }
}

/// A server whose master key the token wraps; its configuration file.
fn server(folder: &Path) -> PathBuf {
    let directory = folder.join("server");
    let made = init_with(&directory, &server_options(), &Source::Pkcs11(Box::new(place(folder)))).unwrap();
    for name in ["manifest.pem", "server.pem", "server.key"] {
        std::fs::write(directory.join(name), name).unwrap();
    }
    made.config
}

fn enrol(config: &Config, name: &str) {
    let master = MasterKey::new(&config.keys.master.load().unwrap());
    let id: DeviceId = name.parse().unwrap();
    let record = DeviceRecord {
        id,
        chip: Chip::Esp32C3,
        mac: [0; 6],
        epoch: KeyEpoch(1),
        sealed_root_key: master.seal(Use::DeviceRootKey, id.as_bytes(), &[7; 32]).unwrap(),
        nonce_floor: Nonce(0),
        secure_boot_digest: [0; 32],
        enrolled_at: 0,
    };
    let text = String::new;
    let note = AuditEntry { at: 0, by: text(), subject: text(), event: text(), detail: text() };
    let store = host::open(config).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.enrol(record, note)).unwrap();
}

/// A session of our own on the token, past the code that is tested.
fn on_token<T>(work: impl FnOnce(&Session) -> T) -> T {
    let library = Pkcs11::new(SoftHsm::module()).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let done = {
        let session = library.open_rw_session(library.get_slots_with_initialized_token().unwrap()[0]).unwrap();
        session.login(UserType::User, Some(&AuthPin::from(SoftHsm::PIN.to_owned()))).unwrap();
        work(&session)
    };
    library.finalize().unwrap();
    done
}

fn secret_key(label: &str, length: u64, extractable: bool) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(length.into()),
        Attribute::Label(label.into()),
        Attribute::Token(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ]
}

fn refused(place: Place) -> TokenError {
    match Source::Pkcs11(Box::new(place)).load().err().unwrap() {
        MasterError::Token(refused) => refused,
        other => unreachable!("{other}"),
    }
}

#[test]
fn the_token_brings_the_master_key_and_keeps_its_own() {
    SoftHsm::run("the_token_brings_the_master_key_and_keeps_its_own", |_| {
        let folder = temp_dir();
        let config = Config::read(&server(folder.path())).unwrap();
        enrol(&config, "a");
        let store = host::open(&config).unwrap();
        let key = master::in_use(&config.keys, &store).unwrap();

        // The library itself opens what is in the file, and does not hand out what it opens it with.
        let wrapped = std::fs::read_to_string(folder.path().join("server/master.wrapped")).unwrap();
        let bytes: [u8; 60] = cotter_wire::hex::decode(wrapped.trim_end().as_bytes()).unwrap();
        on_token(|session| {
            let found = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).unwrap();
            let &[on_token] = found.as_slice() else { unreachable!("{found:?}") };
            let mut iv: [u8; 12] = bytes[..12].try_into().unwrap();
            let parameters = GcmParams::new(&mut iv, b"cotter/master-key/v1", 128.into()).unwrap();
            let opened = session.decrypt(&Mechanism::AesGcm(parameters), on_token, &bytes[12..]).unwrap();
            assert_eq!(opened, key.expose());
            let value = session.get_attributes(on_token, &[AttributeType::Value]).unwrap();
            assert!(!value.iter().any(|attribute| matches!(attribute, Attribute::Value(_))), "the key is handed out");
        });
        // Nothing on the server's disk is the key.
        let digits = key_file::spelled(&key);
        for entry in std::fs::read_dir(folder.path().join("server")).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!content.windows(64).any(|part| part == &digits[..64]));
            assert!(!content.windows(32).any(|part| part == key.expose()));
        }
    });
}

#[test]
fn what_is_not_as_it_was_is_named() {
    SoftHsm::run("what_is_not_as_it_was_is_named", |_| {
        let folder = temp_dir();
        let config = Config::read(&server(folder.path())).unwrap();
        let Source::Pkcs11(right) = config.keys.master.clone() else { unreachable!() };
        let right = *right;
        let with = |change: &dyn Fn(&mut Place)| {
            let mut place = right.clone();
            change(&mut place);
            refused(place)
        };
        let written = |name: &str, text: &str| {
            let path = folder.path().join(name);
            key_file::write_new(&path, text.as_bytes()).unwrap();
            path
        };

        let pin = written("wrong-pin", "0000");
        let found = with(&|place| place.pin_file = Some(pin.clone()));
        assert!(matches!(found, TokenError::Pin(PinState::Wrong | PinState::OneLeft)), "{found}");
        let found = with(&|place| place.pin_file = None);
        assert!(matches!(found, TokenError::NoPin), "{found}");
        let found = with(&|place| place.pin_env = Some("A".into()));
        assert!(matches!(found, TokenError::TwoPins), "{found}");
        let found = with(&|place| (place.pin_file, place.pin_env) = (None, Some("COTTER_TEST_NO_PIN".into())));
        assert!(matches!(&found, TokenError::PinUnset { name } if name == "COTTER_TEST_NO_PIN"), "{found}");
        let found = with(&|place| place.token = Some("other".into()));
        assert_eq!(found.to_string(), "no PKCS#11 token of that label or serial number; present: cotter");
        let found = with(&|place| place.serial = Some("1234".into()));
        assert!(matches!(found, TokenError::NoToken { .. }), "{found}");
        let found = with(&|place| place.key = "other".into());
        assert_eq!(found.to_string(), "the PKCS#11 token has no secret key \"other\"; present: cotter-master");
        let found = with(&|place| place.module = "/nowhere/libnone.so".into());
        assert!(
            matches!(&found, TokenError::Module { path, .. } if path == Path::new("/nowhere/libnone.so")),
            "{found}"
        );
        let found = with(&|place| place.wrapped = "/nowhere/master.wrapped".into());
        assert!(matches!(found, TokenError::File(key_file::KeyFileError::Io { .. })), "{found}");
        for text in ["", "00", &"0".repeat(119), &"A".repeat(120)] {
            let path = written(&format!("malformed-{}", text.len()), text);
            let found = with(&|place| place.wrapped = path.clone());
            assert!(matches!(found, TokenError::Malformed { .. }), "{found}");
        }

        // Another key of the same kind, and each byte of the file.
        on_token(|session| {
            session.generate_key(&Mechanism::AesKeyGen, &secret_key("second", 32, false)).unwrap();
            session.generate_key(&Mechanism::AesKeyGen, &secret_key("short", 16, false)).unwrap();
            session.generate_key(&Mechanism::AesKeyGen, &secret_key("open", 32, true)).unwrap();
            for _ in 0..2 {
                session.generate_key(&Mechanism::AesKeyGen, &secret_key("twice", 32, false)).unwrap();
            }
        });
        let found = with(&|place| place.key = "second".into());
        assert!(matches!(found, TokenError::WrongKey { .. }), "{found:?}");
        let found = with(&|place| place.key = "short".into());
        assert!(matches!(found, TokenError::NotAes256), "{found}");
        let found = with(&|place| place.key = "open".into());
        assert!(matches!(found, TokenError::Extractable { .. }), "{found}");
        let found = with(&|place| place.key = "twice".into());
        assert!(matches!(found, TokenError::ManyKeys { .. }), "{found}");
        let wrapped = std::fs::read(&right.wrapped).unwrap();
        for byte in 0..60 {
            let mut changed = wrapped.clone();
            changed[2 * byte] = if changed[2 * byte] == b'0' { b'1' } else { b'0' };
            let path = written(&format!("changed-{byte}"), std::str::from_utf8(&changed).unwrap());
            let found = with(&|place| place.wrapped = path.clone());
            assert!(matches!(found, TokenError::WrongKey { .. }), "byte {byte}: {found:?}");
        }
        // All of that left it as it was.
        config.keys.master.load().unwrap();
    });
}

#[test]
fn a_server_that_cannot_be_made_leaves_nothing_that_hinders_the_next_try() {
    SoftHsm::run("a_server_that_cannot_be_made_leaves_nothing_that_hinders_the_next_try", |_| {
        let folder = temp_dir();
        let mut wrong = place(folder.path());
        wrong.token = Some("absent".into());
        let refused = init_with(&folder.path().join("server"), &server_options(), &Source::Pkcs11(Box::new(wrong)));
        let refused = refused.err().unwrap();
        assert!(matches!(refused, InitError::Master(MasterError::Token(TokenError::NoToken { .. }))), "{refused}");
        assert_eq!(refused.next_step(), Some("is the token plugged in, and may this user reach it?"));
        server(folder.path());
    });
}

#[test]
fn custodians_restore_without_the_token_and_the_key_moves_to_a_token_and_back() {
    SoftHsm::run("custodians_restore_without_the_token_and_the_key_moves_to_a_token_and_back", |_| {
        let folder = temp_dir();
        let path = server(folder.path());
        enrol(&Config::read(&path).unwrap(), "a");
        let file = folder.path().join("a.backup");
        let shares = backup::make(&path, &file, Custodians::new(2, 3).unwrap(), |_| Ok(())).unwrap().shares;
        on_token(|session| {
            for object in session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).unwrap() {
                session.destroy_object(object).unwrap();
            }
        });
        let lost = Config::read(&path).unwrap().keys.master.load().err().unwrap();
        assert!(matches!(lost, MasterError::Token(TokenError::NoKey { .. })), "{lost}");

        let into = folder.path().join("restored");
        assert_eq!(backup::restore(&file, &shares[..2], &into).unwrap().sealed_keys, 1);
        let path = into.join("cotter.toml");
        let config = Config::read(&path).unwrap();
        assert_eq!(config.keys.master, Source::File(into.join("keys-master")));
        assert!(!std::fs::read_to_string(&path).unwrap().contains("pkcs11"));

        // To a token again, and away from it.
        let mut table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let source = toml::Value::try_from(place(folder.path())).unwrap();
        let token = toml::Value::Table(toml::Table::from_iter([("pkcs11".to_owned(), source)]));
        let mut name = |key: &str, value: Option<toml::Value>| {
            let keys = table["keys"].as_table_mut().unwrap();
            keys.remove(key);
            keys.extend(value.map(|value| (key.to_owned(), value)));
            std::fs::write(&path, table.to_string()).unwrap();
        };
        let opens = || {
            let config = Config::read(&path).unwrap();
            let store = host::open(&config).unwrap();
            master::in_use(&config.keys, &store).unwrap();
        };
        name("next_master", Some(token.clone()));
        assert_eq!(reseal(&Config::read(&path).unwrap()).unwrap(), Resealed::Now(1));
        opens();
        std::fs::remove_file(into.join("keys-master")).unwrap();
        opens();
        name("master", Some(token));
        name("next_master", Some("back.key".into()));
        assert_eq!(reseal(&Config::read(&path).unwrap()).unwrap(), Resealed::Now(1));
        opens();
        std::fs::remove_file(into.join("master.wrapped")).unwrap();
        opens();
        // SQLite of another make finds the database whole.
        let said = tools().python(["-c", "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])", into.join("cotter.db").to_str().unwrap()]).accepted();
        assert!(said.contains("ok"), "{said}");
    });
}
