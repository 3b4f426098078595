//! Espressif's `configure_esp_secure_cert.py` on virtual chips: it burns the key through its own espefuse and writes the
//! partition through its own esptool, and what the chip then signs OpenSSL verifies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test panics where it fails")]

mod bench;

use bench::{Bench, MAC};
use cotter_chip::board::VirtualChip;
use cotter_chip::peripheral::PeripheralError;
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsContext, DsData, DsError};
use cotter_formats::efuse::{EfuseBlock, KeyPurpose};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{TlvType, inspect};
use cotter_interop::{Generator, ToolRun, temp_dir, tools};
use sha2::{Digest, Sha256};
use std::fs;
use tempfile::TempDir;

/// Where the tool puts the partition, and what it may take.
const OFFSET: usize = 0xd000;
const SIZE: usize = 0x2000;

/// A device's key and certificate by OpenSSL, and a chip on a line.
struct Device {
    directory: TempDir,
    bench: Bench,
}

impl Device {
    /// `algorithm`: `RSA:bits` or `EC:curve`.
    fn new(chip: Chip, algorithm: &str, on_a_terminal: bool) -> Self {
        let directory = temp_dir();
        let board = VirtualChip::new(chip, MAC).unwrap();
        let bench = if on_a_terminal {
            Bench::on_a_terminal(&board, &directory.path().join("ttyChip"))
        } else {
            Bench::on_a_socket(&board)
        };
        let device = Self { directory, bench };
        let (kind, parameter) = algorithm.split_once(':').unwrap();
        let option = match kind {
            "RSA" => format!("rsa_keygen_bits:{parameter}"),
            _ => format!("ec_paramgen_curve:{parameter}"),
        };
        let [key, cert] = ["device.key", "device.cert"].map(|name| device.path(name));
        tools().openssl(["genpkey", "-algorithm", kind, "-pkeyopt", &option, "-out", &key]).accepted();
        tools()
            .openssl(["req", "-x509", "-new", "-key", &key, "-subj", "/CN=device", "-days", "9", "-out", &cert])
            .accepted();
        device
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn board(&self) -> &VirtualChip {
        &self.bench.board
    }

    fn configure(&self, extra: &str) -> ToolRun {
        let chip = self.board().chip().name();
        let base = ["-p", &self.bench.port, "--target_chip", chip];
        let keys = ["--private-key", "device.key", "--device-cert", "device.cert", "--ca-cert", "device.cert"];
        let extra = extra.split(' ').filter(|word| !word.is_empty());
        tools().secure_cert(self.directory.path(), base.into_iter().chain(keys).chain(extra))
    }

    /// What a block was burned for, as download mode tells it.
    fn purpose(&self, block: usize) -> KeyPurpose {
        self.board().power_on_in_download_mode().unwrap().security_info().unwrap().key_purposes[block]
    }

    /// The partition, read back through the serial line.
    fn partition(&self) -> Vec<u8> {
        let read = self.path("read.bin");
        self.bench.esptool(&format!("read-flash {OFFSET:#x} {SIZE:#x} {read}")).accepted();
        let bytes = fs::read(read).unwrap();
        assert!(bytes == self.bench.flash(OFFSET, SIZE));
        bytes
    }

    /// The file that the tool made.
    fn made(&self) -> Vec<u8> {
        fs::read(self.path("esp_secure_cert_data/esp_secure_cert.bin")).unwrap()
    }

    /// Has the chip sign with the box in the partition; OpenSSL verifies.
    fn expect_signature(&self, partition: &[u8]) {
        let signature = self.sign(partition, b"telemetry").unwrap();
        self.verify(b"telemetry", &signature, "device.key");
    }

    fn sign(&self, partition: &[u8], message: &[u8]) -> Result<Vec<u8>, PeripheralError> {
        let read = inspect(partition, None);
        let data = DsData::parse(read.entry(TlvType::DS_DATA, 0).unwrap().data).unwrap();
        let context = DsContext::parse(read.entry(TlvType::DS_CONTEXT, 0).unwrap().data).unwrap();
        assert!(read.entry(TlvType::PRIVATE_KEY, 0).is_none(), "the key itself is not in flash");
        let mut signature = self.board().sign(EfuseBlock(context.key_id.block()), &data, &encoded(message, &data))?;
        signature.reverse();
        Ok(signature)
    }

    fn verify(&self, message: &[u8], signature: &[u8], key: &str) {
        let [input, signed] = [("message", message), ("signature", signature)].map(|(name, content)| {
            fs::write(self.path(name), content).unwrap();
            self.path(name)
        });
        let public = self.path("public.pem");
        tools().openssl(["pkey", "-in", &self.path(key), "-pubout", "-out", &public]).accepted();
        let told = tools().openssl(["dgst", "-sha256", "-verify", &public, "-signature", &signed, &input]).accepted();
        assert!(told.contains("Verified OK"), "{told}");
    }
}

/// PKCS#1 v1.5 over SHA-256, little-endian, as long as the key.
fn encoded(message: &[u8], data: &DsData<'_>) -> Vec<u8> {
    let info = *b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let len = data.rsa_bits as usize / 8;
    let filling = vec![0xff; len - 3 - info.len() - 32];
    let digest = Sha256::digest(message);
    [&[0, 1], &filling[..], &[0], &info, &digest].concat().into_iter().rev().collect()
}

#[test]
fn boxes_that_the_tool_puts_on_a_chip_sign_there() {
    // The tools wait more than they work.
    std::thread::scope(|scope| {
        for (chip, bits, key, on_a_terminal) in [
            (Chip::Esp32S2, 4096, 0, true),
            (Chip::Esp32S3, 2048, 1, false),
            (Chip::Esp32C3, 3072, 2, true),
            (Chip::Esp32C6, 2048, 3, false),
            (Chip::Esp32H2, 1024, 4, true),
            (Chip::Esp32P4, 3072, 5, false),
            (Chip::Esp32C5, 2048, 0, true),
        ] {
            scope.spawn(move || box_signs(chip, bits, key, on_a_terminal));
        }
    });
}

fn box_signs(chip: Chip, bits: u16, key: u8, on_a_terminal: bool) {
    let device = Device::new(chip, &format!("RSA:{bits}"), on_a_terminal);
    let command = format!("--configure_ds --priv_key_algo RSA {bits} --efuse_key_id {key}");
    let told = device.configure(&command).accepted();
    assert!(told.contains("Hash of data verified."), "{chip}: {told}");
    assert_eq!(device.purpose(key.into()), KeyPurpose::HMAC_DOWN_DIGITAL_SIGNATURE, "{chip}");
    let partition = device.partition();
    assert!(partition.starts_with(&device.made()), "{chip}");
    if chip == Chip::Esp32C5 {
        // The tool makes boxes for 4096 bits, the ROM opens those for 3072.
        let refused = device.sign(&partition, b"telemetry");
        assert_eq!(refused, Err(PeripheralError::Box(DsError::Ciphertext { len: 1584 })));
        return;
    }
    // As the tool leaves it, for development, the key can be read.
    let stored = || device.board().efuses().image().unwrap().block(EfuseBlock(4 + key)).unwrap().to_vec();
    assert_ne!(stored(), [0; 32], "{chip}");
    device.expect_signature(&partition);
    // For production: hidden. It still signs, and the tool has no more use for the block.
    device.bench.espefuse(&format!("read-protect-efuse BLOCK_KEY{key}")).accepted();
    assert_eq!(stored(), [0; 32], "{chip}");
    device.expect_signature(&partition);
    let refused = device.configure(&format!("{command} --skip_flash")).refused();
    assert!(refused.contains("Key block already used"), "{chip}: {refused}");
}

#[test]
fn without_flashing_the_tool_burns_the_given_key_and_makes_the_partition_for_it() {
    let mut random = Generator::seeded();
    let device = Device::new(Chip::Esp32C3, "RSA:2048", false);
    let key = random.array::<32>();
    fs::write(device.path("hmac.key"), key).unwrap();
    let command = "--configure_ds --priv_key_algo RSA 2048 --efuse_key_id 3 --efuse_key_file hmac.key";
    device.configure(&format!("{command} --skip_flash")).accepted();
    assert_eq!(device.board().efuses().image().unwrap().block(EfuseBlock(7)), Some(&key[..]));
    assert!(device.bench.flash(OFFSET, SIZE).iter().all(|byte| *byte == 0xff));
    device.expect_signature(&device.made());
    // Once more, with what is burned; now it writes.
    let told = device.configure(command).accepted();
    assert!(told.contains("Using the same hmac key burned"), "{told}");
    device.expect_signature(&device.partition());
    // A box for another device does not open here.
    let other = Device::new(Chip::Esp32C3, "RSA:2048", true);
    other.configure(&format!("{command} --skip_flash").replace(" --efuse_key_file hmac.key", "")).accepted();
    assert_eq!(device.sign(&other.made(), b"x"), Err(PeripheralError::Box(DsError::Digest)));
}

#[test]
fn keys_for_the_ecdsa_peripheral_are_burned_as_the_silicon_reads_them() {
    for (index, (chip, id)) in
        [(Chip::Esp32H2, 0), (Chip::Esp32P4, 1), (Chip::Esp32C5, 2), (Chip::Esp32C61, 4)].into_iter().enumerate()
    {
        let device = Device::new(chip, "EC:P-256", index % 2 == 0);
        let told =
            device.configure(&format!("--configure_ds --priv_key_algo ECDSA 256 --efuse_key_id {id}")).accepted();
        assert!(told.contains("Hash of data verified."), "{chip}: {told}");
        assert!(device.partition().starts_with(&device.made()), "{chip}");
        let scalar = scalar(&device);
        let image = device.board().efuses().image().unwrap();
        let stored: Vec<u8> = image.block(EfuseBlock(4 + id)).unwrap().iter().rev().copied().collect();
        assert_eq!(stored, scalar, "{chip}");
        assert_eq!(device.purpose(id.into()), KeyPurpose::ECDSA_KEY_P256, "{chip}");
    }
}

/// The private number of the device's key, big-endian, as OpenSSL prints it.
fn scalar(device: &Device) -> Vec<u8> {
    let text = tools().openssl(["pkey", "-in", &device.path("device.key"), "-noout", "-text"]).accepted();
    let private = text.split_once("priv:").unwrap().1.split_once("pub:").unwrap().0;
    let digits: Vec<_> = private.split(|character: char| !character.is_ascii_hexdigit()).collect();
    let bytes: Vec<u8> =
        digits.iter().filter(|pair| !pair.is_empty()).map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    [vec![0; 32_usize.saturating_sub(bytes.len())], bytes[bytes.len().saturating_sub(32)..].to_vec()].concat()
}

#[test]
fn without_a_peripheral_the_tool_writes_the_key_itself() {
    for (chip, on_a_terminal) in [(Chip::Esp32, false), (Chip::Esp32C61, true)] {
        let device = Device::new(chip, "EC:P-256", on_a_terminal);
        device.configure("").accepted();
        let partition = device.partition();
        assert!(partition.starts_with(&device.made()), "{chip}");
        let mut found = inspect(&partition, None).entry(TlvType::PRIVATE_KEY, 0).unwrap().data.to_vec();
        found.pop_if(|last| *last == 0);
        fs::write(device.path("found.key"), found).unwrap();
        let public = |key: &str| tools().openssl(["pkey", "-in", &device.path(key), "-pubout"]).accepted();
        assert_eq!(public("found.key"), public("device.key"), "{chip}");
    }
}

#[test]
fn golden_boxes_sign_what_openssl_verifies_under_a_key_that_espefuse_burned() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/");
    let iv: [u8; 16] = fs::read(format!("{vectors}ds/iv.bin")).unwrap().try_into().unwrap();
    for (chip, all_bits) in
        [(Chip::Esp32C3, &[2048, 3072][..]), (Chip::Esp32S2, &[2048, 4096]), (Chip::Esp32S3, &[3072])]
    {
        let device = Device::new(chip, "EC:P-256", false);
        device
            .bench
            .espefuse(&format!("burn-key BLOCK_KEY2 {vectors}ds/hmac_key.bin HMAC_DOWN_DIGITAL_SIGNATURE"))
            .accepted();
        for bits in all_bits {
            let ciphertext = fs::read(format!("{vectors}ds/c-{chip}-rsa{bits}_dev.bin")).unwrap();
            let data = DsData { rsa_bits: *bits, iv: &iv, ciphertext: &ciphertext };
            let mut signature = device.board().sign(EfuseBlock(6), &data, &encoded(b"telemetry", &data)).unwrap();
            signature.reverse();
            fs::copy(format!("{vectors}keys/rsa{bits}_dev.pem"), device.path("golden.key")).unwrap();
            device.verify(b"telemetry", &signature, "golden.key");
        }
    }
}

#[test]
fn hmacs_are_openssls_on_every_chip_that_has_the_peripheral() {
    let mut random = Generator::seeded();
    let chips: Vec<_> = Chip::ALL.into_iter().filter(|chip| HmacKey::is_supported_by(*chip)).collect();
    let mut count = 0;
    for board in chips.into_iter().filter_map(|chip| VirtualChip::new(chip, MAC).ok()) {
        let directory = temp_dir();
        let [key_file, message_file] = ["key", "message"].map(|name| directory.path().join(name).display().to_string());
        let (key, message) = (random.array::<32>(), random.bytes(1 + count * 37));
        fs::write(&key_file, key).unwrap();
        fs::write(&message_file, &message).unwrap();
        let bench = Bench::on_a_socket(&board);
        bench.espefuse(&format!("burn-key BLOCK_KEY3 {key_file} HMAC_UP")).accepted();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let option = format!("hexkey:{}", hex(&key));
        let told =
            tools().openssl(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &option, "-r", &message_file]).accepted();
        let ours = board.hmac(EfuseBlock(7), &message).unwrap();
        assert!(told.starts_with(&hex(ours.expose())), "{}: {told}", board.chip());
        count += 1;
    }
    assert_eq!(count, 7);
}
