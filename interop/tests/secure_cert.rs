//! `esp_secure_cert` partitions and DS parameters against Espressif's `configure_esp_secure_cert.py`, espsecure, OpenSSL and
//! Python's `cryptography`: each reads what the other writes, on random inputs, and what is deterministic is byte-exact.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on has failed")]

use cotter_factory::certificate::Certificates;
use cotter_factory::device_key::DeviceKey;
use cotter_factory::ds::{Parameters, check, sign_pkcs1};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::secure_cert::pack::Options;
use cotter_factory::secure_cert::{Content, Protected, Wanted, open, pack, table};
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsData, EfuseKeyId, Width};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::secure_cert::{FindingKind, TlvType, Weight, inspect};
use cotter_interop::{Generator, temp_dir, tools};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A folder with a key and certificates that OpenSSL made.
struct Device {
    dir: tempfile::TempDir,
}

impl Device {
    /// `algorithm`: `RSA:bits` or `EC:curve`. `der`: files in DER.
    fn new(algorithm: &str, der: bool, pkcs8: bool) -> Self {
        let dir = temp_dir();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (kind, parameter) = algorithm.split_once(':').unwrap();
        let option = match kind {
            "RSA" => format!("rsa_keygen_bits:{parameter}"),
            _ => format!("ec_paramgen_curve:{parameter}"),
        };
        tools()
            .openssl(["genpkey", "-algorithm", kind, "-pkeyopt", &option, "-out", &at("device.pkcs8.pem")])
            .accepted();
        for (key, name) in [("device.pkcs8.pem", "device"), ("device.pkcs8.pem", "ca")] {
            let subject = format!("/CN={name}");
            let mut arguments = vec!["req", "-x509", "-new", "-key"];
            let (key, out) = (at(key), at(&format!("{name}.cert")));
            let form = if der { "DER" } else { "PEM" };
            arguments.extend([&key, "-subj", &subject, "-days", "30", "-out", &out, "-outform", form]);
            tools().openssl(arguments).accepted();
        }
        let (verb, form) = (if kind == "RSA" { "rsa" } else { "ec" }, if der { "DER" } else { "PEM" });
        if pkcs8 && !der {
            fs::copy(at("device.pkcs8.pem"), at("device.key")).unwrap();
        } else {
            let (input, output) = (at("device.pkcs8.pem"), at("device.key"));
            let mut arguments = vec![verb, "-in", &input, "-out", &output, "-outform", form];
            arguments.extend((kind == "RSA").then_some("-traditional"));
            tools().openssl(arguments).accepted();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self) -> DeviceKey {
        DeviceKey::read(&fs::read(self.path("device.key")).unwrap(), None).unwrap()
    }

    fn wanted(&self, protected: Protected) -> Vec<Wanted> {
        let certificates = |kind, name| Wanted {
            kind,
            subtype: 0,
            content: Content::Certificates(Certificates::read(&fs::read(self.path(name)).unwrap()).unwrap()),
        };
        let key = Wanted { kind: TlvType::PRIVATE_KEY, subtype: 0, content: Content::Key(protected) };
        vec![certificates(TlvType::CA_CERT, "ca.cert"), certificates(TlvType::DEVICE_CERT, "device.cert"), key]
    }

    /// Runs the tool; returns what it left.
    fn tool(&self, chip: Chip, extra: &[&str]) -> Vec<u8> {
        let mut arguments = vec!["--target_chip", chip.name(), "--skip_flash", "--private-key", "device.key"];
        arguments.extend(["--device-cert", "device.cert", "--ca-cert", "ca.cert"]);
        arguments.extend(extra);
        tools().secure_cert(self.dir.path(), arguments).accepted();
        fs::read(self.path("esp_secure_cert_data/esp_secure_cert.bin")).unwrap()
    }
}

const fn options(chip: Chip) -> Options<'static> {
    Options { chip, limit: 0x2000, integrity: true, signers: &[], allow_rsa_1024: true, tool_width: false }
}

fn packed(wanted: &[Wanted], options: &Options<'_>) -> Zeroizing<Vec<u8>> {
    pack(wanted, options).unwrap().builder.finish()
}

fn worst(bytes: &[u8], chip: Chip) -> Weight {
    inspect(bytes, Some(chip)).findings.iter().map(|finding| finding.kind.weight()).max().unwrap_or(Weight::Note)
}

#[test]
fn plain_partitions_are_byte_for_byte_those_of_the_tool() {
    for (algorithm, der, pkcs8) in [
        ("EC:P-256", false, false),
        ("EC:P-256", true, false),
        ("EC:P-384", false, true),
        ("RSA:2048", false, true),
        ("RSA:2048", true, false),
    ] {
        let device = Device::new(algorithm, der, pkcs8);
        let theirs = device.tool(Chip::Esp32C3, &[]);
        let ours = packed(&device.wanted(Protected::Plain(device.key())), &options(Chip::Esp32C3));
        assert!(*ours == theirs, "{algorithm} der {der} pkcs8 {pkcs8}");
    }
}

#[test]
fn ds_boxes_of_the_tool_open_here_and_are_made_again_byte_for_byte() {
    let mut random = Generator::seeded();
    for (bits, chips) in [
        (1024, vec![Chip::Esp32C3]),
        (2048, vec![Chip::Esp32C3, Chip::Esp32S2, Chip::Esp32H2, Chip::Esp32C5]),
        (3072, vec![Chip::Esp32C6, Chip::Esp32S3]),
        (4096, vec![Chip::Esp32P4]),
    ] {
        let device = Device::new(&format!("RSA:{bits}"), random.below(2) == 0, true);
        for chip in chips {
            let (hmac_bytes, id) = (random.array::<32>(), random.below(6));
            fs::write(device.path("hmac.bin"), hmac_bytes).unwrap();
            let hmac_key = HmacKey::from_slice(&hmac_bytes).unwrap();
            let (size, id_text) = (bits.to_string(), id.to_string());
            let theirs = device.tool(
                chip,
                &[
                    "--configure_ds",
                    "--priv_key_algo",
                    "RSA",
                    &size,
                    "--efuse_key_id",
                    &id_text,
                    "--efuse_key_file",
                    "hmac.bin",
                ],
            );
            let read = inspect(&theirs, None);
            let data = DsData::parse(read.entry(TlvType::DS_DATA, 0).unwrap().data).unwrap();
            let key = device.key();
            let (public, _) = key.rsa_numbers().unwrap();
            assert_eq!(check(&data, &hmac_key, Some(public)).unwrap().rsa_bits, bits, "{chip}");
            // The tool takes the ESP32-C5 for a chip of 4096 bits.
            let tool_width = chip == Chip::Esp32C5;
            let width = if tool_width { Width::Bits4096 } else { Width::of(chip).unwrap() };
            let again = Parameters::encrypt_with(&key, width, &hmac_key, *data.iv).unwrap();
            assert!(again.ciphertext == data.ciphertext, "{chip} RSA-{bits}");
            if tool_width {
                let expected = FindingKind::DsWidth { chip, expected: 1200, got: 1584 };
                assert!(inspect(&theirs, Some(chip)).findings.iter().any(|finding| finding.kind == expected));
            } else {
                assert_eq!(worst(&theirs, chip), Weight::Note, "{chip}");
            }
            // All but IV, ciphertext and the CRCs and digest over them are the same in our partition.
            let block = EfuseKeyId::new(u8::try_from(id).unwrap()).unwrap();
            let wanted = device.wanted(Protected::RsaDs { key: device.key(), block, hmac_key });
            let ours = packed(&wanted, &Options { tool_width, ..options(chip) });
            let (ours, theirs) = (inspect(&ours, None), inspect(&theirs, None));
            for (ours, theirs) in ours.entries.iter().zip(&theirs.entries) {
                assert_eq!((ours.kind, ours.subtype, ours.flags), (theirs.kind, theirs.subtype, theirs.flags));
                if !matches!(ours.kind, TlvType::DS_DATA | TlvType::INTEGRITY) {
                    assert!(ours.bytes == theirs.bytes, "{chip} {}", ours.kind);
                }
            }
        }
    }
}

#[test]
fn openssl_verifies_what_a_box_signs() {
    let mut random = Generator::seeded();
    for bits in [2048, 3072, 4096] {
        let device = Device::new(&format!("RSA:{bits}"), false, true);
        let hmac_key = HmacKey::from_slice(&random.array::<32>()).unwrap();
        let made = Parameters::encrypt(&device.key(), Width::Bits4096, &hmac_key).unwrap();
        let digest = random.array::<32>();
        let signature = sign_pkcs1(&made.data(), &hmac_key, &digest).unwrap();
        let at = |name: &str| device.path(name).to_str().unwrap().to_owned();
        fs::write(at("digest"), digest).unwrap();
        fs::write(at("signature"), signature).unwrap();
        let (key, digest, signature) = (at("device.pkcs8.pem"), at("digest"), at("signature"));
        let verify =
            ["pkeyutl", "-verify", "-inkey", &key, "-in", &digest, "-sigfile", &signature, "-pkeyopt", "digest:sha256"];
        assert!(tools().openssl(verify).accepted().contains("Signature Verified Successfully"));
    }
}

#[test]
fn the_tool_leaves_the_peripherals_key_in_flash_and_we_do_not() {
    for (chip, curve, size) in [(Chip::Esp32H2, "EC:P-256", "256"), (Chip::Esp32C5, "EC:P-384", "384")] {
        let device = Device::new(curve, false, false);
        let theirs = device.tool(chip, &["--configure_ds", "--priv_key_algo", "ECDSA", size, "--efuse_key_id", "2"]);
        let marker = b"PRIVATE KEY-----";
        assert!(
            theirs.windows(marker.len()).any(|window| window == marker),
            "2.6.1 does this; if not any more, say so"
        );
        let found = inspect(&theirs, Some(chip)).findings;
        assert_eq!(found.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::PeripheralKeyInFlash]);
        let block = EfuseKeyId::new(2).unwrap();
        let made =
            pack(&device.wanted(Protected::EcdsaPeripheral { key: device.key(), block }), &options(chip)).unwrap();
        // What is to be burned is what espefuse burns: its virtual chip takes the file.
        let burn = &made.burns[0];
        let (pem, virt) = (device.path(&burn.file_name()), device.path("efuses.bin"));
        fs::write(&pem, burn.bytes()).unwrap();
        let (pem, virt) = (pem.to_str().unwrap(), virt.to_str().unwrap());
        let arguments = ["--chip", chip.name(), "--virt", "--path-efuse-file", virt, "--do-not-confirm", "burn-key"];
        tools().espefuse([&arguments[..], &["BLOCK_KEY2", pem, burn.purpose]].concat()).accepted();
        let ours = made.builder.finish();
        assert!(!ours.windows(marker.len()).any(|window| window == marker));
        let (ours, theirs) = (inspect(&ours, Some(chip)), inspect(&theirs, Some(chip)));
        assert_eq!(ours.findings, []);
        for kind in [TlvType::SECURITY_CONFIG, TlvType::CA_CERT, TlvType::DEVICE_CERT] {
            assert!(ours.entry(kind, 0).unwrap().bytes == theirs.entry(kind, 0).unwrap().bytes, "{kind}");
        }
    }
}

/// Rows for both readers of CSV: certificates, a key, and user data of every form.
fn random_csv(random: &mut Generator) -> String {
    let mut csv =
        "tlv_type,tlv_subtype,data_value,data_type,priv_key_type,algorithm,key_size,efuse_id,efuse_key\n".to_owned();
    csv.push_str("ESP_SECURE_CERT_CA_CERT_TLV,0,CA,file,,,,,\nESP_SECURE_CERT_DEV_CERT_TLV,0,CERT,file,,,,,\n");
    csv.push_str("ESP_SECURE_CERT_PRIV_KEY_TLV,0,KEY,file,plaintext,ECDSA,256,,\n");
    for kind in 51..=55 {
        for subtype in 0..random.between(1, 4) {
            let length = random.between(1, 90);
            let hex: String = random.bytes(length).iter().map(|byte| format!("{byte:02x}")).collect();
            let (value, form) = match random.below(3) {
                0 => (random.word(length), "string"),
                1 => (hex, "hex"),
                _ => ("AAECAwQ=".to_owned(), "base64"),
            };
            csv.push_str(&format!("ESP_SECURE_CERT_USER_DATA_{}_TLV,{subtype},{value},{form},,,,,\n", kind - 50));
        }
    }
    csv
}

#[test]
fn random_csv_files_give_the_same_bytes_and_the_tool_reads_ours() {
    let mut random = Generator::seeded();
    for _ in 0..6 {
        let device = Device::new("EC:P-256", random.below(2) == 0, false);
        let at = |name: &str| device.path(name).to_str().unwrap().to_owned();
        let csv = random_csv(&mut random);
        let csv = csv.replace("CA,file", &format!("{},file", at("ca.cert")));
        let csv = csv.replace("CERT,file", &format!("{},file", at("device.cert")));
        let csv = csv.replace("KEY,file", &format!("{},file", at("device.key")));
        fs::write(at("entries.csv"), &csv).unwrap();
        let arguments = ["--target_chip", "esp32c3", "--skip_flash", "--esp_secure_cert_csv", "entries.csv"];
        tools().secure_cert(device.dir.path(), arguments).accepted();
        let theirs = fs::read(at("esp_secure_cert_data/esp_secure_cert.bin")).unwrap();
        let ours = packed(&table::read(csv.as_bytes(), device.dir.path()).unwrap(), &options(Chip::Esp32C3));
        assert!(*ours == theirs, "{csv}");

        fs::write(at("ours.bin"), &*ours).unwrap();
        tools().secure_cert(device.dir.path(), ["--parse_bin", "ours.bin"]).accepted();
        let raw = fs::read_to_string(at("esp_secure_cert_parsed_data/tlv_entries_raw.txt")).unwrap();
        let entries = inspect(&ours, None).entries.len();
        assert_eq!(raw.matches("VALID)").count(), entries, "{raw}");
        assert!(!raw.contains("INVALID"), "{raw}");
        // And what it made of ours is packed again to the same entries; it drops integrity and numbers.
        let parsed = fs::read(at("esp_secure_cert_parsed_data/esp_secure_cert_parsed.csv")).unwrap();
        let again = table::read(&parsed, &device.path("esp_secure_cert_parsed_data")).unwrap();
        assert_eq!(again.len() + 1, entries);
    }
}

#[test]
fn the_tool_appends_our_integrity_entry() {
    let device = Device::new("EC:P-256", false, false);
    let wanted = device.wanted(Protected::Plain(device.key()));
    let bare = packed(&wanted, &Options { integrity: false, ..options(Chip::Esp32C3) });
    fs::write(device.path("bare.bin"), &*bare).unwrap();
    tools().secure_cert(device.dir.path(), ["--append-integrity", "bare.bin"]).accepted();
    let theirs = fs::read(device.path("bare.bin")).unwrap();
    let ours = packed(&wanted, &options(Chip::Esp32C3));
    assert!(theirs.strip_suffix(&[0xFF, 0xFF, 0, 0]) == Some(&ours[..]));
    assert_eq!(inspect(&theirs, None).findings, inspect(&ours, None).findings);
}

/// A signing key that espsecure made.
fn signing_key(dir: &Path, scheme: &str) -> String {
    let path = dir.join(format!("{scheme}.pem")).to_str().unwrap().to_owned();
    tools().espsecure(["generate-signing-key", "--version", "2", "--scheme", scheme, &path]).accepted();
    path
}

#[test]
fn signatures_verify_both_ways_and_the_tools_misordered_file_does_not() {
    let device = Device::new("EC:P-256", false, false);
    for scheme in ["rsa3072", "ecdsa256", "ecdsa384"] {
        let pem = signing_key(device.dir.path(), scheme);
        let misordered =
            device.tool(Chip::Esp32C5, &["--secure-sign", "--signing-scheme", scheme, "--signing-key-file", &pem]);
        let signed = fs::read(device.path("esp_secure_cert_data/esp_secure_cert_signed.bin")).unwrap();
        let signer = PrivateKey::from_pem(&fs::read(&pem).unwrap(), None).unwrap();
        let digest = signer.public().secure_boot_digest().unwrap();
        let found = open::signatures(&signed, &inspect(&signed, None));
        assert_eq!((found.len(), found[0].key_digest, found[0].verdict), (1, digest, Ok(())), "{scheme}");
        assert!(inspect(&misordered, None).findings.iter().any(|finding| finding.kind == FindingKind::SignatureFirst));
        assert!(open::signatures(&misordered, &inspect(&misordered, None))[0].verdict.is_err());

        // What is signed is the same. espsecure verifies whole sectors only, so ours is filled up to one.
        let mut wanted = device.wanted(Protected::Plain(device.key()));
        let bare = packed(&wanted, &Options { integrity: false, ..options(Chip::Esp32C5) });
        assert!(bare[..] == signed[..inspect(&signed, None).signed_len().unwrap()], "{scheme}");
        let filler = Content::Data(Zeroizing::new(vec![0x5A; 4096 - bare.len() - 16]));
        wanted.push(Wanted { kind: TlvType::USER_DATA_1, subtype: 0, content: filler });
        let signers = [signer];
        let ours = packed(&wanted, &Options { signers: &signers, ..options(Chip::Esp32C5) });
        let read = inspect(&ours, None);
        let content = &ours[..read.signed_len().unwrap()];
        let entry = read.entry(TlvType::SIGNATURE, 0).unwrap();
        let data = cotter_formats::secure_cert::SignatureData::parse(entry.data).unwrap();
        let digests = cotter_formats::secure_boot::v2::ContentDigests::of(content);
        let block = data.to_block(digests.of_scheme(data.scheme())).unwrap();
        let mut file = [content, &block].concat();
        file.resize(content.len() + 4096, 0xFF);
        let path = device.path("signed.bin");
        fs::write(&path, file).unwrap();
        let arguments = ["verify-signature", "--version", "2", "--keyfile", &pem, path.to_str().unwrap()];
        assert!(tools().espsecure(arguments).accepted().contains("verification successful"), "{scheme}");
    }
    // The tool cannot write P-192 at all: it hands 65 bytes of key to a field of 49.
    let pem = signing_key(device.dir.path(), "ecdsa192");
    let arguments =
        ["--target_chip", "esp32c5", "--skip_flash", "--private-key", "device.key", "--device-cert", "device.cert"];
    let sign = ["--secure-sign", "--signing-scheme", "ecdsa192", "--signing-key-file", &pem];
    tools().secure_cert(device.dir.path(), [&arguments[..], &sign].concat()).refused();
}

#[test]
fn derived_and_encrypted_keys_are_those_of_pythons_cryptography() {
    const SCRIPT: &str = "
import sys, hmac, hashlib
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives import hashes
key, salt, plain = (bytes.fromhex(argument) for argument in sys.argv[1:])
mac = lambda message: hmac.new(key, message, hashlib.sha256).digest()
print(PBKDF2HMAC(hashes.SHA256(), 32, salt, 2048).derive(key).hex())
print(AESGCM(mac(b'\\xff' * 32)).encrypt(mac((0xABCDABCD).to_bytes(4, 'little') * 8)[:16], plain, b'').hex())
print(mac(bytes(32)).hex())
";
    let mut random = Generator::seeded();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for _ in 0..8 {
        let (key_bytes, salt) = (random.array::<32>(), random.array::<32>());
        let length = random.below(400);
        let plain = random.bytes(length);
        let printed = tools().python(["-c", SCRIPT, &hex(&key_bytes), &hex(&salt), &hex(&plain)]).accepted();
        let lines: Vec<_> = printed.lines().collect();
        let key = HmacKey::from_slice(&key_bytes).unwrap();
        assert_eq!(lines[0], hex(key.derived_scalar(&salt).expose()));
        assert_eq!(lines[1], hex(&open::encrypt(&plain, &key).unwrap()));
        assert_eq!(lines[2], hex(key.jtag_token().expose()));
        assert_eq!(*open::decrypt(&open::encrypt(&plain, &key).unwrap(), &key).unwrap(), plain);
    }
}
