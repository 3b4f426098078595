//! One identity, four places for its key: tokens of each, believed by the server and by PyJWT.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_chip::board::VirtualChip;
use cotter_chip::efuse::session::{KeyOptions, KeyToBurn, Session};
use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_chip::peripheral::PeripheralError;
use cotter_device::atecc::SlotSigner;
use cotter_device::atecc::command::key::{CreateKey, KeyPlace};
use cotter_device::atecc::command::lock::Lock;
use cotter_device::nvs::Nvs;
use cotter_device::platform::Region;
use cotter_device::signer::Signer;
use cotter_device::signer::digital_signature::{DsSigner, DsSignerError};
use cotter_device::signer::ecdsa_peripheral::EcdsaSigner;
use cotter_device::signer::stored_key::{StoredKey, StoredKeyError};
use cotter_device::signer::token::{SignTokenError, TokenSigner, token};
use cotter_factory::identity::{Identity, Product};
use cotter_factory::layout::Layout;
use cotter_factory::pki::ProductCa;
use cotter_formats::addr::FlashAddr;
use cotter_formats::atecc::Slot;
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsContext, DsData, DsError, EfuseKeyId};
use cotter_formats::efuse::{EfuseBlock, KeyPurpose};
use cotter_formats::nvs::NvsKeys;
use cotter_formats::secret::Secret;
use cotter_formats::secure_cert::{TlvType, inspect};
use cotter_interop::{hex, temp_dir, tools};
use cotter_server::device_key::{DeviceKey, KeyFormat};
use cotter_server::device_token::{Expected, RegisteredKey, Reuse, TokenRefusal, admit};
use cotter_twin::element_bus::Place;
use cotter_twin::element_port::{Clock, ElementPort};
use cotter_twin::peripherals::Peripherals;
use cotter_twin::random::HostRandom;
use cotter_twin::serial_port::SerialPort;
use cotter_wire::ids::{Nonce, UnixTime};
use cotter_wire::token::{Algorithm, Claims, MAX_TOKEN, SKEW_S, TokenError};
use serde_json::{Value, json};
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

const SCRIPT: &str = include_str!("device_token/peer.py");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/");

const CLAIMS: Claims<'_> =
    Claims { audience: "one-project", issued_at: UnixTime(1_800_000_000), expires_at: UnixTime(1_800_003_600) };

/// SubjectPublicKeyInfo of a P-256 key, up to X.
const P256_HEAD: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}{name}")).unwrap()
}

fn spki(signer: &mut impl Signer<Error: Debug>) -> Vec<u8> {
    [&P256_HEAD[..], &signer.public_key().unwrap()].concat()
}

fn signed(signer: &mut impl TokenSigner<Error: Debug + Display>) -> String {
    token(signer, &CLAIMS, &mut [0; MAX_TOKEN]).unwrap().to_owned()
}

fn admitted(token: &str, key: DeviceKey) -> Result<u64, TokenRefusal> {
    let keys = [RegisteredKey { key, expires_at: None }];
    let expected = Expected { project: CLAIMS.audience, reuse: Reuse::WhileFresh };
    admit(token.as_bytes(), &keys, &expected, CLAIMS.issued_at).map(|admission| admission.close_at.0)
}

/// A key in the NVS that the factory made, which belongs to the certificate that it issued.
fn from_nvs() -> (String, Vec<u8>) {
    let ca = ProductCa::generate("test CA").unwrap();
    let identity = Identity::create("c3-0001".parse().unwrap(), &ca).unwrap();
    let product = Product {
        project: CLAIMS.audience,
        firmware_keys: &[],
        firmware_required: 0,
        trust_anchor: ca.certificate_der(),
        nonce_floor: Nonce(10_000),
    };
    let layout = Layout::two_slots(Chip::Esp32C3).unwrap();
    let partition = layout.table.find("nvs").unwrap();
    let mut content = identity.nvs_partition(partition, &product).unwrap();
    let needle = identity.certificate.certificate_der.windows(32).next().unwrap();
    assert!(!content.windows(32).any(|window| window == needle), "encrypted");
    content.resize(partition.size.0.try_into().unwrap(), 0xff);
    let flash = Flash::with_content(content, Fault::default()).unwrap();
    let keys = Secret::from_slice(&identity.nvs_keys_partition()[..64]).unwrap();
    let region = Region::new(flash, FlashAddr(0), partition.size).unwrap();
    let mut store = Nvs::mount(region, Some(NvsKeys::new(keys))).unwrap();
    let mut key = StoredKey::load(&mut store).unwrap();
    let again = StoredKey::generate(&mut store, &mut HostRandom::default()).unwrap_err();
    assert_eq!(again, StoredKeyError::Exists, "the factory's is not replaced");
    let token = signed(&mut key);
    let certificate = identity.certificate.certificate_pem.as_bytes();
    let of_certificate = DeviceKey::from_pem(KeyFormat::Es256X509, certificate).unwrap();
    assert_eq!(admitted(&token, of_certificate), Ok(CLAIMS.expires_at.0 + SKEW_S));
    (token, spki(&mut key))
}

/// Burns a key into `BLOCK_KEY<id>`, hidden as espefuse hides it.
fn burned(chip: Chip, id: u8, purpose: &str, key: &[u8]) -> VirtualChip {
    let chip = VirtualChip::new(chip, [2; 6]).unwrap();
    let mut session = Session::new(chip.efuses().image().unwrap());
    let data = Zeroizing::new(key.to_vec());
    let key = KeyToBurn { block: format!("BLOCK_KEY{id}"), data, purpose: Some(purpose.to_owned()) };
    session.burn_keys(&[key], KeyOptions::default()).unwrap();
    session.burn_on(chip.efuses()).unwrap();
    assert_eq!(chip.efuses().image().unwrap().block(EfuseBlock(4 + id)), Some(&[0; 32][..]), "hidden");
    chip
}

/// A key in eFuses, which the peripheral alone reads.
fn from_ecdsa_peripheral() -> (String, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let scalar = pair.private_key().as_be_bytes().unwrap();
    let chip = burned(Chip::Esp32H2, 2, "ECDSA_KEY", scalar.as_ref());
    let mut signer = EcdsaSigner::new(Peripherals(&chip), EfuseKeyId::new(2).unwrap());
    let mut other = EcdsaSigner::new(Peripherals(&chip), EfuseKeyId::new(3).unwrap());
    let refused = PeripheralError::Purpose { block: EfuseBlock(7), found: Some(KeyPurpose::USER) };
    assert_eq!(token(&mut other, &CLAIMS, &mut [0; MAX_TOKEN]), Err(SignTokenError::Signer(refused)));
    (signed(&mut signer), spki(&mut signer))
}

/// An RSA key in the box of a partition that `configure_esp_secure_cert.py` made.
fn from_ds_peripheral(bits: u16, name: &str) -> (String, Vec<u8>) {
    let partition = vector(name);
    let read = inspect(&partition, None);
    let entry = |kind| read.entry(kind, 0).unwrap().data;
    let data = DsData::parse(entry(TlvType::DS_DATA)).unwrap();
    let context = DsContext::parse(entry(TlvType::DS_CONTEXT)).unwrap();
    assert_eq!(context.rsa_bits, bits);
    let purpose = "HMAC_DOWN_DIGITAL_SIGNATURE";
    let chip = burned(Chip::Esp32C3, context.key_id.get(), purpose, &vector("keys/hmac_key.bin"));
    let mut signer = DsSigner::new(Peripherals(&chip), &context, data).unwrap();
    let elsewhere = burned(Chip::Esp32C3, context.key_id.get(), purpose, &[7; 32]);
    let mut other = DsSigner::new(Peripherals(&elsewhere), &context, data).unwrap();
    let refused = DsSignerError::Peripheral(PeripheralError::Box(DsError::Digest));
    assert_eq!(token(&mut other, &CLAIMS, &mut [0; MAX_TOKEN]), Err(SignTokenError::Signer(refused)));
    let private = format!("{VECTORS}keys/rsa{bits}_dev.pem");
    let directory = temp_dir();
    let public = directory.path().join("public.der").to_str().unwrap().to_owned();
    tools().openssl(["pkey", "-in", &private, "-pubout", "-outform", "DER", "-out", &public]).accepted();
    (signed(&mut signer), std::fs::read(public).unwrap())
}

/// A key that a secure element made in its slot, over its bus.
fn from_secure_element() -> (String, Vec<u8>) {
    let directory = temp_dir();
    let mut part = SecureElement::fresh(Model::Atecc608B, [1, 2, 3, 4, 5, 6], Entropy::system());
    part.set_power(true);
    let port = SerialPort::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = port.address().unwrap().to_string();
    let mut port = ElementPort::new(port, part, directory.path().join("element.bin"), Clock::Bus).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let server = std::thread::spawn(move || port.serve(&told).unwrap());
    let mut element = Place::Line(address).open(0x60).unwrap();
    let part = element.identify().unwrap();
    // As it is sold: slot 0 is for a private key that signs.
    let slot = Slot::from_low_bits(0);
    element.run(Lock::config_unchecked()).unwrap();
    element.run(CreateKey(KeyPlace::Slot(slot))).unwrap();
    element.run(Lock::data_unchecked()).unwrap();
    element.run(Lock::slot(slot)).unwrap();
    assert!(element.run(CreateKey(KeyPlace::Slot(slot))).is_err(), "the identity is there for good");
    let mut signer = SlotSigner::new(&mut element, &part, slot);
    let made = (signed(&mut signer), spki(&mut signer));
    stop.store(true, Ordering::Relaxed);
    server.join().unwrap();
    made
}

#[test]
fn the_key_may_be_anywhere_and_the_token_is_believed() {
    let made = [
        ("NVS", Algorithm::Es256, from_nvs()),
        ("ECDSA peripheral", Algorithm::Es256, from_ecdsa_peripheral()),
        ("DS peripheral", Algorithm::Rs256, from_ds_peripheral(2048, "securecert/rsads-c3.bin")),
        ("DS peripheral, 3072 bits", Algorithm::Rs256, from_ds_peripheral(3072, "securecert/rsads3072-c3.bin")),
        ("secure element", Algorithm::Es256, from_secure_element()),
    ];
    let mut cases = Vec::new();
    for (place, algorithm, (token, spki)) in &made {
        let key = DeviceKey::from_spki(spki).unwrap();
        assert_eq!(key.algorithm(), *algorithm, "{place}");
        assert_eq!(admitted(token, key), Ok(CLAIMS.expires_at.0 + SKEW_S), "{place}");
        for (other, _, (_, spki)) in made.iter().filter(|(other, found, _)| other != place && found == algorithm) {
            let key = DeviceKey::from_spki(spki).unwrap();
            assert_eq!(admitted(token, key), Err(TokenError::Signature.into()), "{place} by the key in {other}");
        }
        cases.push(json!({
            "token": token, "spki": hex(spki),
            "aud": CLAIMS.audience, "iat": CLAIMS.issued_at.0, "exp": CLAIMS.expires_at.0,
        }));
    }
    let check = |cases: &[Value]| tools().python_on(SCRIPT, &["verify"], &serde_json::to_vec(cases).unwrap());
    assert_eq!(check(&cases).accepted().trim(), "ok");
    // It would notice: the key of another place.
    let (first, last) = (cases[0]["spki"].clone(), cases.len() - 1);
    cases[last]["spki"] = first;
    assert!(check(&cases).refused().contains("Signature verification failed"));
}
