//! Writes the seeds of `fuzz/corpus` from the golden vectors and from our own builders:
//! `cargo run -p cotter-fuzz --example seeds`. Inputs that a fuzzer found are added to the folders by hand.

mod at;
mod chip;
mod link;
mod server;
mod wire;

use base64ct::{Base64, Encoding};
use cotter_device::label::HEAD;
use cotter_factory::efuse::{Curve, EfusePolicy, NvsMode, SecureBootMode, Wishes, build as build_plan};
use cotter_factory::secure_cert::open;
use cotter_formats::addr::FlashLen;
use cotter_formats::chip::Chip;
use cotter_formats::crt_bundle::{Root, build};
use cotter_formats::ds::{DsData, DsKey, Width};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::efuse::dump::{to_joint, to_text};
use cotter_formats::efuse::token::{TokenKind, token};
use cotter_formats::encrypted_image::{self as encrypted, ContentKey, HEADER_LEN};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::nvs::page::Version as NvsVersion;
use cotter_formats::nvs::{NvsImage, Value};
use cotter_formats::otadata::{OtaEntry, OtaState};
use cotter_formats::secret::Secret;
use cotter_formats::secure_cert::{Builder, Flags, TlvType};
use cotter_formats::secure_debug::{ChipInfo, SessionCounter};
use cotter_wire::registers::{ECOWATT, RegisterMap};
use std::path::Path;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    wire::answer()?;
    at::at_command()?;
    at::at_script()?;
    chip::atecc_commands()?;
    server::audit_log()?;
    server::backup()?;
    server::mqtt_session()?;
    server::rollout()?;
    certificate()?;
    wire::compact()?;
    wire::recovery()?;
    wire::rotation()?;
    wire::command()?;
    crt_bundle()?;
    debug_certificate()?;
    device_key()?;
    wire::device_token()?;
    efuse_dump()?;
    efuse_plan()?;
    product_policy()?;
    ds_data()?;
    wire::ecowatt_blob()?;
    wire::ecowatt_upload()?;
    efuse_virtual_file()?;
    chip::element_bus()?;
    chip::element_certificate()?;
    chip::element_kit()?;
    chip::element_plan()?;
    chip::element_driver()?;
    elf()?;
    encrypted_image()?;
    wire::enrolment()?;
    flash_key()?;
    flash_layout()?;
    image()?;
    image_label()?;
    key_file()?;
    link::frames()?;
    link::handshake()?;
    link::noise()?;
    wire::manifest()?;
    names()?;
    nvs_csv()?;
    nvs_page()?;
    nvs_store()?;
    otadata()?;
    wire::packet()?;
    partition_csv()?;
    partition_table()?;
    pkcs11_uri()?;
    wire::reading()?;
    wire::register_map()?;
    secure_boot_v1()?;
    secure_cert()?;
    secure_cert_csv()?;
    chip::serial_loader()?;
    wire::session()?;
    wire::trust()?;
    signature_block()
}

/// Of the test PKI that the golden bundle was made from.
fn certificate() -> Outcome {
    for name in ["p256.pem", "rsa2048.der", "intermediate.pem", "request.pem", "chain.pem"] {
        seed("certificate", name, &vector(&format!("crtbundle/{name}"))?)?;
    }
    Ok(())
}

fn crt_bundle() -> Outcome {
    seed("crt_bundle", "golden", &vector("crtbundle/x509_crt_bundle")?)?;
    let small = [Root { subject: b"0\x03abc", key: b"key" }, Root { subject: b"0\x02zz", key: b"another key" }];
    seed("crt_bundle", "small", &build(&small)?)
}

fn debug_certificate() -> Outcome {
    seed("debug_certificate", "espsecure", &vector("sdc/sdc_cert.bin")?)?;
    let chip = ChipInfo::of([0x30, 0xED, 0xA0, 0xED, 0x78, 0x9C], SessionCounter::ALL[1], [0x5A; 32]);
    seed("debug_certificate", "chip-info", &chip.encode())
}

fn efuse_dump() -> Outcome {
    for (name, chip) in [("esp32c3-prod", Chip::Esp32C3), ("esp32-c34", Chip::Esp32), ("esp32c2-xts128", Chip::Esp32C2)]
    {
        let image = EfuseImage::from_virtual_file(chip, &vector(&format!("efuse/{name}.bin"))?)?;
        seed("efuse_dump", &format!("{name}-token"), token(&image, TokenKind::Read).as_bytes())?;
        seed("efuse_dump", &format!("{name}-text"), to_text(&image).as_bytes())?;
        seed("efuse_dump", &format!("{name}-joint"), &to_joint(&image))?;
    }
    Ok(())
}

fn efuse_virtual_file() -> Outcome {
    for name in ["blank-esp32c3", "esp32c3-prod", "esp32c3-xts-readable", "esp32-fe-full", "esp32c2-derived"] {
        seed("efuse_virtual_file", name, &vector(&format!("efuse/{name}.bin"))?)?;
    }
    Ok(())
}

fn elf() -> Outcome {
    seed("elf", "boot", &vector("image/esp32c3-bootloader.elf")?)?;
    seed("elf", "app", &vector("image/esp32c3.elf")?)
}

/// Espressif's, with 48 bytes of content; and one sealed with the key that the body uses, so that it opens.
fn encrypted_image() -> Outcome {
    for name in ["rsa", "ecies"] {
        let mut file = vector(&format!("encimg/{name}.enc"))?[..HEADER_LEN + 48].to_vec();
        file[404..408].copy_from_slice(&48u32.to_le_bytes());
        seed("encrypted_image", name, &file)?;
    }
    let key = ContentKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let mut content = b"an image of any length".to_vec();
    let header = key.seal(encrypted::WrappedKey([0x11; 384]), [7; 16], &mut content)?;
    seed("encrypted_image", "sealed", &[&header.encode()[..], &content].concat())
}

/// The table's used rows; the body takes them for the flash as well.
fn flash_layout() -> Outcome {
    for name in ["singleapp", "two_ota_sec", "two_ota_sec-nomd5"] {
        let table = vector(&format!("partition/{name}.bin"))?;
        let used = table.iter().rposition(|&byte| byte != 0xFF).map_or(0, |last| (last + 1).next_multiple_of(32));
        seed("flash_layout", name, &table[..used])?;
    }
    Ok(())
}

/// esptool's images, their first segment shortened to the two descriptors; the body mends checksum and SHA-256.
fn image() -> Outcome {
    for (name, segments) in [("esp32c3", 1), ("esp32c3-bootloader", 1), ("esp32", 2)] {
        let whole = vector(&format!("image/{name}.bin"))?;
        let mut short = whole[..24].to_vec();
        short[1] = segments;
        for _ in 0..segments {
            short.extend(&whole[24..28]);
            short.extend(352u32.to_le_bytes());
            short.extend(&whole[32..32 + 352]);
        }
        short.resize(short.len().next_multiple_of(16) + 16 + 32, 0);
        seed("image", name, &short)?;
    }
    Ok(())
}

/// The first page of a vector holds the namespaces and the small values. Ours has every kind on one page.
fn nvs_page() -> Outcome {
    seed("nvs_page", "basic-ro", &vector("nvs/basic-ro-0x1000.bin")?)?;
    seed("nvs_page", "basic-v1-page0", &vector("nvs/basic-v1.bin")?[..4096])?;
    seed("nvs_page", "keys", &vector("nvs/nvs_keys_fixed.bin")?[..96])?;
    let mut image = NvsImage::new(FlashLen(4096), NvsVersion::V2)?;
    let space = "cotter".parse()?;
    image.put(&space, &"epoch".parse()?, &Value::U32(1))?;
    image.put(&space, &"delta".parse()?, &Value::I64(-2))?;
    image.put(&space, &"device_id".parse()?, &Value::string("device-1"))?;
    image.put(&"ecowatt".parse()?, &"root_key".parse()?, &Value::blob(vec![0x5A; 40]))?;
    seed("nvs_page", "own", &image.finish()[..4096 / 8])
}

/// A full page of somebody else's, and the start of a page of ours.
fn nvs_store() -> Outcome {
    seed("nvs_store", "basic-v2-page0", &vector("nvs/basic-v2.bin")?[..4096])?;
    let mut image = NvsImage::new(FlashLen(4096), NvsVersion::V2)?;
    image.put(&"fuzz".parse()?, &"value".parse()?, &Value::U32(1))?;
    image.put(&"fuzz".parse()?, &"blob".parse()?, &Value::blob(vec![0x5A; 40]))?;
    seed("nvs_store", "own", &image.finish()[..32 * 10])
}

fn otadata() -> Outcome {
    let two = |a: OtaEntry, b: OtaEntry| [a.encode(), b.encode()].concat();
    seed("otadata", "entry", &vector("otadata/otadata-1-slot0.bin")?[..32])?;
    seed("otadata", "erased", &two(OtaEntry::ERASED, OtaEntry::ERASED))?;
    seed("otadata", "second", &two(OtaEntry::new(1, OtaState::VALID), OtaEntry::new(2, OtaState::NEW)))?;
    seed("otadata", "rolled-back", &two(OtaEntry::new(3, OtaState::ABORTED), OtaEntry::new(2, OtaState::VALID)))?;
    seed("otadata", "last", &two(OtaEntry::new(u32::MAX - 1, OtaState::VALID), OtaEntry::ERASED))
}

/// Cut where only erased flash follows; the body fills it up again.
fn partition_csv() -> Outcome {
    for name in ["singleapp", "two_ota_sec", "two_ota_sec.roundtrip"] {
        seed("partition_csv", name, &vector(&format!("partition/{name}.csv"))?)?;
    }
    let odd =
        "\u{feff}b,bootloader,primary,,\r\nt,3,0\nn,data,nvs,,-64K\nx$Y,0x40,0b11,${Z},0o10K,readonly:encrypted,\n";
    seed("partition_csv", "odd", odd.as_bytes())
}

fn partition_table() -> Outcome {
    for name in ["singleapp", "two_ota_sec", "two_ota_sec-nomd5"] {
        let table = vector(&format!("partition/{name}.bin"))?;
        let used = table.iter().rposition(|&byte| byte != 0xFF).map_or(0, |last| (last + 1).next_multiple_of(32));
        seed("partition_table", name, &table[..used])?;
    }
    Ok(())
}

/// A signature alone, one behind a small file, and a bootloader with a digest.
fn secure_boot_v1() -> Outcome {
    let signed = vector("sbv1/esp32-app-signed-v1.bin")?;
    let signature = &signed[signed.len() - 68..];
    seed("secure_boot_v1", "signature", signature)?;
    seed("secure_boot_v1", "behind-a-file", &[b"a small file", signature].concat())?;
    seed("secure_boot_v1", "behind-an-image", &[&vector("image/esp32-bootloader.bin")?, signature].concat())?;
    seed("secure_boot_v1", "bootloader", &vector("sbv1/esp32-bootloader-digest-256.bin")?)
}

fn secure_cert() -> Outcome {
    for name in ["plain-p256-der", "rsads-c3", "derived-hmac-ecdsa", "signed-p256_signed", "signed-p384"] {
        seed("secure_cert", name, &vector(&format!("securecert/{name}.bin"))?)?;
    }
    let sealed =
        open::encrypt(b"a key that the body's HMAC key opens", &HmacKey::from_slice(&[0x42; 32]).ok_or("32")?)?;
    let mut builder = Builder::new(0x1000)?;
    builder.add(TlvType::PRIVATE_KEY, 0, Flags::HMAC_ENCRYPTED, &sealed)?;
    builder.add_integrity()?;
    seed("secure_cert", "sealed", &builder.finish())?;
    let legacy = vector("securecert/legacy-custflash-ds-c3.bin")?;
    seed("secure_cert", "cust-flash-ds", &legacy[..6208 + 1216 + 16])
}

/// A box under the key that the body uses, of no RSA key: only the modulus must be odd.
fn ds_data() -> Outcome {
    let key = HmacKey::from_slice(&[0x42; 32]).ok_or("32 bytes")?;
    let mut ciphertext = vec![0; Width::Bits3072.ciphertext_len()];
    DsKey::new(&[0xAB; 256], &[0x77; 256])?.encrypt(Width::Bits3072, &key, &[0x24; 16], &mut ciphertext)?;
    let data = DsData { rsa_bits: 2048, iv: &[0x24; 16], ciphertext: &ciphertext };
    seed("ds_data", "data", &data.to_bytes())?;
    seed("ds_data", "context", &[0, 0, 0, 0, 1, 0, 0, 8])
}

fn flash_key() -> Outcome {
    for bits in [128, 192, 256, 512] {
        seed("flash_key", &bits.to_string(), &vector(&format!("keys/fe_key_{bits}.bin"))?)?;
    }
    Ok(())
}

fn key_file() -> Outcome {
    for name in ["rsa2048_dev", "ecdsa_p192", "ecdsa_p256", "ecdsa_p384"] {
        seed("key_file", &format!("{name}.pem"), &vector(&format!("keys/{name}.pem"))?)?;
    }
    for name in ["rsa3072_a", "ecdsa_p256"] {
        seed("key_file", &format!("pub-{name}.pem"), &vector(&format!("sbv2/pub-{name}.pem"))?)?;
    }
    for name in ["ecdsa_p192", "ecdsa_p384"] {
        let pem = vector(&format!("keys/{name}.pem"))?;
        let body: String = std::str::from_utf8(&pem)?.lines().filter(|line| !line.starts_with('-')).collect();
        seed("key_file", &format!("{name}.der"), &Base64::decode_vec(&body).map_err(|error| error.to_string())?)?;
    }
    Ok(())
}

fn nvs_csv() -> Outcome {
    let table = "key,type,encoding,value\ncotter,namespace,,\nid,data,u32,7\nname,data,string,\"a \"\"b\"\", c\"\n\
                 root,data,hex2bin,00ff5a\nblob,data,base64,SGVsbG8=\n# comment\ncotter,namespace,,\nsta.ssid,data,string,x\n";
    seed("nvs_csv", "table", table.as_bytes())?;
    let template = "key,type,encoding\nfactory,namespace,\nserial,data,u32\nname,data,string\n";
    seed("nvs_csv", "batch", format!("{template}\0id,serial,name\n1,100,one\n2,200,\"two, too\"\n").as_bytes())
}

fn pkcs11_uri() -> Outcome {
    for (name, uri) in [
        ("key", "pkcs11:token=release%20keys;object=boot;id=%01%fe;type=private"),
        ("any", "pkcs11:"),
        ("query", "pkcs11:?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin"),
        ("library", "pkcs11:library-manufacturer=SoftHSM;library-version=2.6;slot-id=0;serial=0a"),
        ("pin", "pkcs11:token=a?pin-value=1234"),
    ] {
        seed("pkcs11_uri", name, uri.as_bytes())?;
    }
    Ok(())
}

fn signature_block() -> Outcome {
    seed("signature_block", "der", &vector("sbv2/precalc-p256.sig")?)?;
    for (name, blocks) in [("rsa3072_a", 1), ("ecdsa_p256", 1), ("ecdsa_p384", 1)] {
        let file = vector(&format!("sbv2/signed-{name}.bin"))?;
        let sector = &file[file.len() - 4096..];
        seed("signature_block", name, &sector[..1216 * blocks])?;
    }
    let file = vector("sbv2/signed-rsa-ab-plus-ecdsa.bin")?;
    seed("signature_block", "sector-of-three", &file[file.len() - 4096..])
}

fn device_key() -> Outcome {
    seed("device_key", "p256.der", &vector("keys/ecdsa_p256_dev.der")?)?;
    for name in ["rsa2048_dev", "ecdsa_p192", "ecdsa_p384"] {
        let pem = vector(&format!("keys/{name}.pem"))?;
        let body: String = std::str::from_utf8(&pem)?.lines().filter(|line| !line.starts_with('-')).collect();
        seed("device_key", &format!("{name}.pem"), &pem)?;
        seed("device_key", &format!("{name}.der"), &Base64::decode_vec(&body).map_err(|error| error.to_string())?)?;
    }
    Ok(())
}

fn product_policy() -> Outcome {
    for name in ["development", "production", "secure-boot-v1"] {
        let text = std::fs::read(format!("{}/../docs/policies/{name}.toml", env!("CARGO_MANIFEST_DIR")))?;
        seed("product_policy", name, &text)?;
    }
    Ok(())
}

fn efuse_plan() -> Outcome {
    let full = Wishes { ecdsa: Some(vec![Curve::P384]), nvs: Some(NvsMode::Hmac), ..Wishes::default() };
    let v1 = Wishes { secure_boot: Some(SecureBootMode::V1), ..Wishes::default() };
    for (chip, wishes) in [(Chip::Esp32C3, Wishes::default()), (Chip::Esp32C5, full), (Chip::Esp32, v1)] {
        let policy = EfusePolicy::of(chip, &wishes)?;
        let plan = build_plan(&policy, &EfuseImage::blank(chip)).map_err(|refusal| refusal.to_string())?;
        seed("efuse_plan", chip.name(), &serde_json::to_vec(&plan)?)?;
    }
    Ok(())
}

/// esptool's image, whose version is none of ours, and the same with a version and a register map.
fn image_label() -> Outcome {
    let mut head = vector("image/esp32c3.bin")?[..HEAD].to_vec();
    seed("image_label", "esptool", &head)?;
    head[0x30..0x50].fill(0);
    head[0x30..0x35].copy_from_slice(b"1.2.3");
    let map = RegisterMap::new(&ECOWATT).ok_or("at most 16 registers")?;
    head[0x120..].copy_from_slice(&map.encode());
    seed("image_label", "with-registers", &head)
}

fn names() -> Outcome {
    for (name, text) in [
        ("device", "device-1"),
        ("version", "1.10.65535"),
        ("release", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        ("key-id", "0123456789abcdef"),
        ("subject", "CN=Test CA,O=Acme\\, Ltd,OU=a,OU=b"),
        ("subject-of-openssl", "/C=DE/O=Acme/CN=device"),
        ("host", "DNS:host.example"),
        ("address", "IP:192.0.2.1"),
        ("chip", "esp32c3"),
        ("role", "release-manager"),
        ("administrator", "ci@line-3.example"),
        ("hub", "my-hub.azure-devices.net/device-0001"),
        ("registration", "0ne00012345/sn-007-888-abc-mac-a1-b2"),
        ("symmetric-key", "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="),
        ("authorizer", "token/eyJhbGciOiJSUzI1NiJ9.e30.AA"),
    ] {
        seed("names", name, text.as_bytes())?;
    }
    Ok(())
}

fn secure_cert_csv() -> Outcome {
    let header = "tlv_type,tlv_subtype,data_value,data_type,priv_key_type,algorithm,key_size,efuse_id,efuse_key\n";
    let user = "ESP_SECURE_CERT_USER_DATA_1_TLV,0,serial 4711,string,,,,,\nESP_SECURE_CERT_USER_DATA_2_TLV,16,00ff5a,hex,,,,,\n";
    seed("secure_cert_csv", "user-data", format!("{header}{user}").as_bytes())?;
    let key = Base64::encode_string(&vector("keys/ecdsa_p256_dev.der")?);
    let row = |kind: &str| format!("{header}ESP_SECURE_CERT_PRIV_KEY_TLV,0,{key},base64,{kind},ECDSA,256,5,\n");
    seed("secure_cert_csv", "peripheral", row("ecdsa_peripheral").as_bytes())?;
    seed("secure_cert_csv", "encrypted", row("hmac_encrypted").as_bytes())?;
    let derived = format!("{header}ESP_SECURE_CERT_PRIV_KEY_TLV,0,,,hmac_derived,ECDSA,256,2,\n");
    seed("secure_cert_csv", "derived", derived.as_bytes())
}

fn vector(path: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(path);
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(name), bytes)?)
}
