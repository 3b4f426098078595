//! The two formats before TLV: fixed places in flash, and keys of an NVS partition.

use super::describe::{KeyState, certificates, ds_state, public};
use super::{Found, Report, Row, weight};
use crate::file::File;
use anyhow::Context;
use cotter_factory::certificate::Certificates;
use cotter_factory::public_key::PublicKey;
use cotter_formats::chip::Chip;
use cotter_formats::ds::{DsData, EfuseKeyId, Width};
use cotter_formats::hmac_key::HmacKey;
use cotter_formats::nvs::{self, Value};
use cotter_formats::secure_cert::{CustFlash, CustFlashKey, FindingKind, TlvType, Weight};

/// `cust_flash`, whose CRCs hold or nothing is shown.
pub(super) fn cust_flash(
    file: &File,
    bytes: &[u8],
    hmac_key: Option<&HmacKey>,
    chip: Option<Chip>,
) -> anyhow::Result<Report> {
    let read = CustFlash::parse(bytes).with_context(|| file.to_string())?;
    let mut report = empty(file, "legacy cust_flash");
    report.row(64, TlvType::DEVICE_CERT, read.device_cert.len(), certificates(read.device_cert));
    if let Some(ca) = read.ca_cert {
        report.row(2112, TlvType::CA_CERT, ca.len(), certificates(ca));
    }
    match read.key {
        CustFlashKey::Plain(key) => {
            report.row(6208, TlvType::PRIVATE_KEY, key.len(), "in plain".to_owned());
            report.plain_key(key, Some(read.device_cert));
        }
        CustFlashKey::Ds { ciphertext, iv, rsa_bits, key_id } => {
            let text = format!("RSA-{rsa_bits}, HMAC key in {key_id}");
            report.row(6208, TlvType::DS_DATA, ciphertext.len(), text);
            report.ds(&DsData { rsa_bits: rsa_bits.into(), iv, ciphertext }, Some(read.device_cert), hmac_key, chip);
        }
    }
    Ok(report)
}

/// `nvs`; `None` if it is no NVS partition with the namespace.
pub(super) fn nvs(file: &File, bytes: &[u8], hmac_key: Option<&HmacKey>, chip: Option<Chip>) -> Option<Report> {
    let contents = nvs::partition::inspect(bytes, None).ok()?;
    let mut report = empty(file, "legacy nvs");
    let ours =
        |item: &&nvs::partition::Item| matches!(item.namespace.to_string().as_str(), "esp_secure_cert" | "pre_prov");
    let items: Vec<_> = contents.items.iter().filter(ours).collect();
    if items.is_empty() {
        return None;
    }
    let find = |key: &str| items.iter().find(|item| item.key.to_string() == key).map(|item| &item.value);
    let bytes_of = |key: &str| match find(key) {
        Some(Value::String(text)) => Some(text.as_bytes()),
        Some(Value::Blob(blob)) => Some(blob.as_ref()),
        _ => None,
    };
    let device_cert = bytes_of("dev_cert");
    for (key, kind) in [("ca_cert", TlvType::CA_CERT), ("dev_cert", TlvType::DEVICE_CERT)] {
        if let Some(data) = bytes_of(key) {
            report.row(0, kind, data.len(), certificates(data));
        }
    }
    if let Some(key) = bytes_of("priv_key") {
        report.row(0, TlvType::PRIVATE_KEY, key.len(), "in plain".to_owned());
        report.plain_key(key, device_cert);
    }
    if let Some(ciphertext) = bytes_of("cipher_c") {
        let iv: Option<&[u8; 16]> = bytes_of("iv").and_then(|iv| iv.try_into().ok());
        let id = match find("ds_key_id") {
            Some(Value::U8(id)) => EfuseKeyId::new(*id),
            _ => None,
        };
        match (find("rsa_len"), iv, id) {
            (Some(Value::U16(rsa_bits)), Some(iv), Some(id)) => {
                let text = format!("RSA-{rsa_bits}, HMAC key in {id}");
                report.row(0, TlvType::DS_DATA, ciphertext.len(), text);
                report.ds(&DsData { rsa_bits: (*rsa_bits).into(), iv, ciphertext }, device_cert, hmac_key, chip);
            }
            _ => report.broken("cipher_c without a sound rsa_len, iv and ds_key_id".to_owned()),
        }
    }
    for fault in &contents.faults {
        report.broken(fault.to_string());
    }
    Some(report)
}

fn empty(file: &File, format: &'static str) -> Report {
    Report {
        file: file.to_string(),
        format,
        used: None,
        entries: Vec::new(),
        signatures: Vec::new(),
        keys: Vec::new(),
        findings: vec![Found {
            weight: weight(Weight::Note),
            offset: None,
            finding: "a legacy format; `cotter cert pack` writes today's".to_owned(),
        }],
        sound: true,
    }
}

fn certified(device_cert: Option<&[u8]>) -> Option<PublicKey> {
    Certificates::read(device_cert?).ok()?.public_key().ok()
}

impl Report {
    fn row(&mut self, offset: usize, kind: TlvType, length: usize, content: String) {
        self.entries.push(Row { offset, kind: kind.0, name: kind.to_string(), subtype: 0, flags: 0, length, content });
    }

    fn broken(&mut self, finding: String) {
        self.findings.push(Found { weight: weight(Weight::Broken), offset: None, finding });
        self.sound = false;
    }

    fn plain_key(&mut self, key: &[u8], device_cert: Option<&[u8]>) {
        let outcome = public(key);
        let matches_certificate = outcome.as_ref().ok().zip(certified(device_cert)).map(|(key, other)| *key == other);
        let finding = FindingKind::PlainKey.to_string();
        self.findings.push(Found { weight: weight(Weight::Exposed), offset: None, finding });
        let (protection, refusal) = ("in plain", outcome.err());
        self.key(KeyState { subtype: 0, protection, matches_certificate, opens: None, refusal });
    }

    fn ds(&mut self, data: &DsData<'_>, device_cert: Option<&[u8]>, hmac_key: Option<&HmacKey>, chip: Option<Chip>) {
        match chip.map(|chip| (chip, Width::of(chip))) {
            Some((chip, None)) => self.broken(FindingKind::NoDsPeripheral(chip).to_string()),
            Some((chip, Some(width))) if width.ciphertext_len() != data.ciphertext.len() => {
                let (expected, got) = (width.ciphertext_len(), data.ciphertext.len());
                self.broken(FindingKind::DsWidth { chip, expected, got }.to_string());
            }
            _ => {}
        }
        self.key(ds_state(&data.to_bytes(), 0, certified(device_cert).as_ref(), hmac_key));
    }

    fn key(&mut self, key: KeyState) {
        if let Some(trouble) = key.trouble() {
            self.broken(trouble);
        }
        self.keys.push(key);
    }
}
