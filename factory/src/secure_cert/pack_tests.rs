//! Packed partitions against the golden files of Espressif's tool, and every refusal by name.

use super::*;
use crate::secure_cert::table;
use cotter_formats::secure_cert::{Entry, Inspection};
use std::path::{Path, PathBuf};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(vectors().join(name)).unwrap()
}

fn key(name: &str) -> DeviceKey {
    DeviceKey::read(&golden(&format!("keys/{name}")), None).unwrap()
}

fn hmac_key() -> HmacKey {
    HmacKey::from_slice(&golden("keys/hmac_key.bin")).unwrap()
}

fn block(id: u8) -> EfuseKeyId {
    EfuseKeyId::new(id).unwrap()
}

const fn options(chip: Chip) -> Options<'static> {
    Options { chip, limit: 0x2000, integrity: true, signers: &[], allow_rsa_1024: false, tool_width: false }
}

/// CA certificate, device certificate, key, as the tool's command line orders them.
fn wanted(ca: &str, device: Option<&str>, key: Protected) -> Vec<Wanted> {
    let certificates = |name: &str| Certificates::read(&golden(&format!("keys/{name}"))).unwrap();
    let mut wanted =
        vec![Wanted { kind: TlvType::CA_CERT, subtype: 0, content: Content::Certificates(certificates(ca)) }];
    let device = device.map(certificates);
    wanted.extend(device.map(|device| Wanted {
        kind: TlvType::DEVICE_CERT,
        subtype: 0,
        content: Content::Certificates(device),
    }));
    wanted.push(Wanted { kind: TlvType::PRIVATE_KEY, subtype: 0, content: Content::Key(key) });
    wanted
}

fn packed(wanted: &[Wanted], options: &Options<'_>) -> Vec<u8> {
    pack(wanted, options).unwrap().builder.finish().to_vec()
}

#[test]
fn deterministic_partitions_are_those_of_the_tool_byte_for_byte() {
    let plain = wanted("ca_cert.pem", Some("dev_cert_p256.pem"), Protected::Plain(key("ecdsa_p256_dev.pem")));
    assert!(packed(&plain, &options(Chip::Esp32C3)) == golden("securecert/plain-p256.bin"));
    let plain = wanted("ca_cert.der", Some("dev_cert_p256.der"), Protected::Plain(key("ecdsa_p256_dev.der")));
    assert!(packed(&plain, &options(Chip::Esp32C3)) == golden("securecert/plain-p256-der.bin"));
}

/// Everything but the entries of this type.
fn others<'a>(read: &Inspection<'a>, kind: TlvType) -> Vec<(TlvType, u8, &'a [u8])> {
    let is_other = |entry: &&Entry<'_>| entry.kind != kind && entry.kind != TlvType::INTEGRITY;
    read.entries.iter().filter(is_other).map(|entry| (entry.kind, entry.subtype, entry.data)).collect()
}

#[test]
fn ds_partitions_differ_from_the_tools_in_the_random_box_only() {
    for (name, chip, certificate, rsa, id, tool_width) in [
        ("rsads-c3", Chip::Esp32C3, "dev_cert_rsa2048.pem", "rsa2048_dev.pem", 1, false),
        ("rsads-s3", Chip::Esp32S3, "dev_cert_rsa2048.pem", "rsa2048_dev.pem", 2, false),
        ("rsads-c5", Chip::Esp32C5, "dev_cert_rsa2048.pem", "rsa2048_dev.pem", 1, true),
    ] {
        let theirs = golden(&format!("securecert/{name}.bin"));
        let context = inspect(&theirs, None).entry(TlvType::DS_CONTEXT, 0).map(|entry| entry.data[4]);
        let id = context.unwrap_or(id);
        let protected = Protected::RsaDs { key: key(rsa), block: block(id), hmac_key: hmac_key() };
        let wanted = wanted("ca_cert.pem", Some(certificate), protected);
        let options = Options { tool_width, ..options(chip) };
        let ours = packed(&wanted, &options);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let (ours, theirs) = (inspect(&ours, None), inspect(&theirs, None));
        assert!(others(&ours, TlvType::DS_DATA) == others(&theirs, TlvType::DS_DATA), "{name}");
        for read in [&ours, &theirs] {
            let data = cotter_formats::ds::DsData::parse(read.entry(TlvType::DS_DATA, 0).unwrap().data).unwrap();
            let device_key = key(rsa);
            let (public, _) = device_key.rsa_numbers().unwrap();
            assert_eq!(crate::ds::check(&data, &hmac_key(), Some(public)).unwrap().rsa_bits, 2048, "{name}");
        }
        assert_eq!(Width::of(Chip::Esp32C5), Some(Width::Bits3072), "what the tool writes is not what the chip reads");
    }
}

#[test]
fn the_ecdsa_peripherals_partition_is_the_tools_without_the_key() {
    let protected = Protected::EcdsaPeripheral { key: key("ecdsa_p256_dev.pem"), block: block(1) };
    let theirs = golden("securecert/ecdsaperiph-h2.bin");
    let theirs = inspect(&theirs, None);
    let id = cotter_formats::secure_cert::security_config_key(theirs.entries[0].data).unwrap();
    let Protected::EcdsaPeripheral { key, .. } = protected else { unreachable!() };
    let pem = key.to_pem().unwrap();
    let protected = Protected::EcdsaPeripheral { key, block: id };
    let made = pack(&wanted("ca_cert.pem", Some("dev_cert_p256.pem"), protected), &options(Chip::Esp32H2)).unwrap();
    assert_eq!((made.burns[0].purpose, made.burns[0].bytes()), ("ECDSA_KEY", pem.as_bytes()));
    let ours = made.builder.finish();
    let read = inspect(&ours, Some(Chip::Esp32H2));
    assert_eq!(read.findings, []);
    assert!(others(&read, TlvType::PRIVATE_KEY) == others(&theirs, TlvType::PRIVATE_KEY));
    let entry = read.entry(TlvType::PRIVATE_KEY, 0).unwrap();
    assert_eq!((entry.flags, entry.data), (Flags::ECDSA_PERIPHERAL, &[][..]));
    assert!(!ours.windows(11).any(|window| window == b"PRIVATE KEY"));
}

#[test]
fn keys_under_the_hmac_key_are_those_of_the_firmwares_algorithm_byte_for_byte() {
    let protected = Protected::HmacEncrypted { key: key("ecdsa_p256_dev.pem"), block: block(0), hmac_key: hmac_key() };
    let made = pack(&wanted("ca_cert.pem", Some("dev_cert_p256.pem"), protected), &options(Chip::Esp32C3)).unwrap();
    assert_eq!(made.burns[0].file_name(), "block_key0_hmac_up.bin");
    assert!(*made.builder.finish() == golden("securecert/derived-hmac-encrypted.bin"));

    let theirs = golden("securecert/derived-hmac-ecdsa.bin");
    let salt = inspect(&theirs, None).entry(TlvType::ECDSA_SALT, 0).unwrap().data.try_into().unwrap();
    let protected = Protected::HmacDerived { block: block(0), hmac_key: hmac_key(), salt };
    assert!(packed(&wanted("ca_cert.pem", None, protected), &options(Chip::Esp32S3)) == theirs);
}

#[test]
fn up_to_three_signers_sign_and_integrity_comes_last() {
    let signer = |name: &str| PrivateKey::from_pem(&golden(&format!("keys/{name}.pem")), None).unwrap();
    for signers in [
        vec![signer("rsa3072_a"), signer("rsa3072_b"), signer("rsa3072_dev")],
        vec![signer("ecdsa_p256")],
        vec![signer("ecdsa_p384")],
    ] {
        let plain = wanted("ca_cert.pem", Some("dev_cert_p256.pem"), Protected::Plain(key("ecdsa_p256_dev.pem")));
        let bytes = packed(&plain, &Options { signers: &signers, ..options(Chip::Esp32C5) });
        let read = inspect(&bytes, None);
        assert_eq!(read.entries.last().unwrap().kind, TlvType::INTEGRITY);
        let found = open::signatures(&bytes, &read);
        assert!(found.iter().all(|signature| signature.verdict.is_ok()));
        assert_eq!(found.len(), signers.len());
        let digests: Vec<_> = signers.iter().map(|key| key.public().secure_boot_digest().unwrap()).collect();
        assert_eq!(found.iter().map(|signature| signature.key_digest).collect::<Vec<_>>(), digests);
    }
}

#[test]
fn refuses_by_name() {
    let refusal = |wanted: &[Wanted], options: &Options<'_>| pack(wanted, options).err().unwrap().to_string();
    let rsa = || Protected::RsaDs { key: key("rsa2048_dev.pem"), block: block(1), hmac_key: hmac_key() };
    let ca = |protected| wanted("ca_cert.pem", None, protected);
    for (chip, name) in [(Chip::Esp32, "esp32"), (Chip::Esp32C2, "esp32c2"), (Chip::Esp32C61, "esp32c61")] {
        let says = format!("the {name} has no digital signature peripheral");
        assert_eq!(refusal(&ca(rsa()), &options(chip)), says);
        let derived = Protected::HmacDerived { block: block(0), hmac_key: hmac_key(), salt: [1; 32] };
        assert_eq!(refusal(&ca(derived), &options(chip)), format!("the {name} has no HMAC peripheral"));
    }
    let rsa4096 = Protected::RsaDs { key: key("rsa4096_dev.pem"), block: block(1), hmac_key: hmac_key() };
    let says = "digital signature: the key has 4096 bits, but the peripheral takes 3072";
    assert_eq!(refusal(&ca(rsa4096), &options(Chip::Esp32C3)), says);
    let last = Protected::RsaDs { key: key("rsa2048_dev.pem"), block: block(5), hmac_key: hmac_key() };
    assert_eq!(refusal(&ca(last), &options(Chip::Esp32S31)), "the esp32s31 has no BLOCK_KEY5");
    let p256 = || key("ecdsa_p256_dev.pem");
    let peripheral = |key| Protected::EcdsaPeripheral { key, block: block(1) };
    let says = "the esp32c3 has no peripheral for ECDSA P-256";
    assert_eq!(refusal(&ca(peripheral(p256())), &options(Chip::Esp32C3)), says);
    let says = "the esp32h2 has no peripheral for ECDSA P-384";
    assert_eq!(refusal(&ca(peripheral(key("ecdsa_p384.pem"))), &options(Chip::Esp32H2)), says);
    let says = "a key of kind RSA-2048 is none for the ECDSA peripheral";
    assert_eq!(refusal(&ca(peripheral(key("rsa2048_dev.pem"))), &options(Chip::Esp32H2)), says);
    let says = "the device certificate 0 is not for its private key (RSA-2048)";
    let other = wanted("ca_cert.pem", Some("dev_cert_p256.pem"), rsa());
    assert_eq!(refusal(&other, &options(Chip::Esp32C3)), says);
    let mut two = ca(rsa());
    two.push(Wanted { kind: TlvType::PRIVATE_KEY, subtype: 1, content: Content::Key(peripheral(p256())) });
    let says = "BLOCK_KEY1 is wanted for two different keys";
    assert_eq!(refusal(&two, &options(Chip::Esp32P4)), says);
    two[2].subtype = 0;
    let says = "secure cert: a second entry \"private key\" with subtype 0";
    assert_eq!(refusal(&two, &options(Chip::Esp32P4)), says);
    let signers = [
        PrivateKey::from_pem(&golden("keys/rsa3072_a.pem"), None),
        PrivateKey::from_pem(&golden("keys/ecdsa_p256.pem"), None),
    ]
    .map(Result::unwrap);
    let says = "signers of several kinds, one of them ECDSA P-256; a device knows one";
    let mixed = Options { signers: &signers, ..options(Chip::Esp32C6) };
    assert_eq!(refusal(&ca(Protected::Plain(p256())), &mixed), says);
    let full = Options { limit: 0x400, ..options(Chip::Esp32C3) };
    let says = "secure cert: entry \"DS data\" takes 1248 bytes, but only 1024 remain";
    assert_eq!(refusal(&ca(rsa()), &full), says);
}

#[test]
fn the_tools_csv_files_are_read_and_its_mistakes_refused_with_the_line() {
    const HEADER: &str =
        "tlv_type,tlv_subtype,data_value,data_type,priv_key_type,algorithm,key_size,efuse_id,efuse_key\n";
    let csv = format!(
        "{HEADER}# comment\nESP_SECURE_CERT_CA_CERT_TLV,0,ca_cert.pem,file,,,,,\n\
         ESP_SECURE_CERT_PRIV_KEY_TLV,0,rsa2048_dev.pem,file,rsa_ds,RSA,2048,1,hmac_key.bin\n\
         ESP_SECURE_CERT_PRIV_KEY_TLV,1,rsa3072_dev.pem,file,rsa_ds,RSA,3072,2,\n\
         ESP_SECURE_CERT_PRIV_KEY_TLV,2,,,hmac_derived,,,3,\n\
         52,1,\"hello, world\",string,,,,,\n53,0,00 ff,hex,,,,,\n54,0,SGk=,base64,,,,,\n201,0,aa,hex,,,,,\n"
    );
    let folder = vectors().join("keys");
    let wanted = table::read(csv.as_bytes(), &folder).unwrap();
    let made = pack(&wanted, &options(Chip::Esp32C3)).unwrap();
    assert_eq!(made.burns.len(), 3);
    let bytes = made.builder.finish();
    let read = inspect(&bytes, Some(Chip::Esp32C3));
    assert_eq!(read.findings, []);
    let kinds: Vec<_> = read.entries.iter().map(|entry| (entry.kind.0, entry.subtype)).collect();
    let expected =
        [(3, 0), (4, 0), (3, 1), (4, 1), (0, 0), (5, 2), (2, 2), (52, 1), (53, 0), (54, 0), (201, 0), (9, 0)];
    assert_eq!(kinds, expected);
    assert_eq!(read.entry(TlvType(52), 1).unwrap().data, b"hello, world");
    assert_eq!(read.entry(TlvType(54), 0).unwrap().data, b"Hi");
    for (row, says) in [
        ("NOPE,0,a,string", "line 2: tlv_type \"NOPE\" is neither one of Espressif's names nor a number up to 255"),
        ("51,x,a,string", "line 2: tlv_subtype \"x\" is no number up to 255"),
        ("51,0,a,text", "line 2: data_type \"text\", expected file, string, hex or base64"),
        ("51,0,abc,hex", "line 2: the value is not hexadecimal"),
        ("51,0,a,base64", "line 2: the value is not base64"),
        (
            "2,0,rsa2048_dev.pem,file,plaintext,ECDSA,256,,",
            "line 2: the row says \"ECDSA 256\", but the key is RSA-2048",
        ),
        ("2,0,rsa2048_dev.pem,file,rsa_ds,RSA,2048,6,", "line 2: efuse_id \"6\", expected 0 to 5"),
        ("1,0,rsa2048_dev.pem,file", "line 2: no certificate in it, neither in PEM nor in DER"),
    ] {
        let refused = table::read(format!("{HEADER}{row}\n").as_bytes(), &folder).err().unwrap();
        assert_eq!(refused.to_string(), says);
    }
    let refused = table::read(b"tlv_type,tlv_subtype\n", &folder).err().unwrap();
    assert_eq!(refused.to_string(), "no column data_value");
}
