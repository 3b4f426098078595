//! `cotter element certificate`: stored in slots and read from them, whole or compressed.

use super::bus::{Driver, Found, OnBus};
use super::csr::name_of;
use super::public_key::{public_key, slot};
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::{Context, ensure};
use cotter_device::atecc::command::zone::{ReadConfig, ReadSlot, WriteSlot};
use cotter_factory::element::{Reads, SlotRules, Writes};
use cotter_factory::output::Visibility;
use cotter_factory::pki::{Certificate, Name, Shape};
use cotter_formats::atecc::Slot;
use cotter_formats::atecc::certificate::{COMPRESSED_LEN, CompressedCertificate};
use serde::Serialize;
use std::fmt;

/// Store a certificate in a secure element, or read it.
///
/// Whole it is DER, in as many slots as it takes, one after the other. Compressed it is 72 bytes: the signature, and what
/// differs from part to part; the rest is made again out of the part's public key, the subject and the CA's certificate,
/// and is believed because the CA's signature verifies over it. `cotter cert issue --for-element` issues such ones.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Store(Store),
    Read(Read),
}

/// Store a certificate for a key of the part.
///
/// The slots stay open until they are locked: `cotter element lock --bus BUS slot N`.
///
/// Examples:
///
///   cotter element certificate store --bus /dev/i2c-1 --slots 8,9 device.pem
///
///   cotter element certificate store --bus /dev/i2c-1 --slots 10 --compressed --ca ca.pem device.pem
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct Store {
    #[command(flatten)]
    place: InSlots,
    /// The certificate, PEM or DER.
    certificate: File,
}

/// Read the certificate for a key of the part.
///
/// Examples:
///
///   cotter element certificate read --bus /dev/i2c-1 --slots 8,9 -o device.pem
///
///   cotter element certificate read --bus /dev/i2c-1 --slots 10 --compressed --ca ca.pem -o device.pem
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct Read {
    #[command(flatten)]
    place: InSlots,
    /// Whom a compressed certificate names [default: CN= and the part's serial number].
    #[arg(long, value_name = "NAME", requires = "compressed")]
    subject: Option<Name>,
    /// Where to write it, `-` for stdout; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct InSlots {
    #[command(flatten)]
    bus: OnBus,
    /// Where it lies, in that order: 8, or 8,9.
    #[arg(long, value_name = "N,..", value_parser = slot, value_delimiter = ',', required = true)]
    slots: Vec<Slot>,
    /// The 72 bytes of a compressed certificate, in one slot.
    #[arg(long, requires = "ca")]
    compressed: bool,
    /// The certificate of the CA that issued it: it is verified.
    #[arg(long, value_name = "FILE")]
    ca: Option<File>,
    /// The private key that it is for.
    #[arg(long, value_name = "N", value_parser = slot, default_value = "0")]
    key_slot: Slot,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Store(args) => args.run(format),
        Verb::Read(args) => args.run(format),
    }
}

impl Store {
    fn run(&self, format: Format) -> anyhow::Result<bool> {
        let ca = self.place.authority()?;
        let [certificate] = &crate::cert::read_certificates(&self.certificate)?[..] else {
            anyhow::bail!("{}: expected one certificate", self.certificate);
        };
        if let Some(ca) = &ca {
            issued_by(certificate, ca)?;
        }
        let (mut element, _) = self.place.bus.open()?;
        let key = public_key(&mut element, self.place.key_slot)?;
        if certificate.public_key()? != key {
            return Err(anyhow::anyhow!(
                "the certificate is for another key than that in slot {}",
                self.place.key_slot.number()
            ))
            .context(Help("is it another part's? `cotter element csr` requests one for this part"));
        }
        let content = match &ca {
            Some(issuer) if self.place.compressed => {
                let shape = Shape { issuer, subject: certificate.subject() };
                let compressed = shape.compress(certificate).map_err(|error| {
                    anyhow::Error::new(error)
                        .context(Help("`cotter cert issue --for-element YEARS` issues such that fit"))
                })?;
                compressed.to_bytes().to_vec()
            }
            _ => certificate.as_der().to_vec(),
        };
        self.place.write(&mut element, &content)?;
        let slots = self.place.numbers();
        let stored = Stored { slots, bytes: content.len(), subject: certificate.subject().to_string() };
        output::value(&stored, format)?;
        Ok(true)
    }
}

impl Read {
    fn run(&self, format: Format) -> anyhow::Result<bool> {
        self.output.refuse_existing(self.force)?;
        let ca = self.place.authority()?;
        let mut found = self.place.bus.open()?;
        let key = public_key(&mut found.0, self.place.key_slot)?;
        let content = self.place.read(&mut found)?;
        let certificate = match &ca {
            Some(issuer) if self.place.compressed => {
                let bytes = content.first_chunk::<COMPRESSED_LEN>().context("the slot has fewer than 72 bytes")?;
                let subject = match &self.subject {
                    Some(subject) => subject.clone(),
                    None => name_of(&found.1)?,
                };
                let compressed = CompressedCertificate::parse(bytes);
                compressed
                    .map_err(Into::into)
                    .and_then(|it| Shape { issuer, subject: &subject }.expand(&it, &key))
                    .map_err(|error| {
                        anyhow::Error::new(error)
                            .context(Help("which CA issued it, with which --subject, and for which --key-slot?"))
                    })?
            }
            _ => {
                let whole = der_of(&content).and_then(|der| Certificate::from_der(der).ok());
                whole.with_context(|| format!("there is no certificate in slots {:?}", self.place.numbers()))?
            }
        };
        ensure!(certificate.public_key()? == key, "the certificate is for another key than that of the part");
        if let Some(ca) = &ca {
            issued_by(&certificate, ca)?;
        }
        let pem = certificate.to_pem();
        let bytes = crate::cert::encoding(&self.output, &pem, certificate.as_der());
        self.output.write_new(bytes, Visibility::Public, self.force)?;
        if self.output != File::Standard {
            let subject = certificate.subject().to_string();
            output::value(&Fetched { file: self.output.to_string(), slots: self.place.numbers(), subject }, format)?;
        }
        Ok(true)
    }
}

impl InSlots {
    fn numbers(&self) -> Vec<u8> {
        self.slots.iter().map(|slot| slot.number()).collect()
    }

    fn authority(&self) -> anyhow::Result<Option<Certificate>> {
        ensure!(!self.compressed || self.slots.len() == 1, "a compressed certificate lies in one slot");
        let Some(file) = &self.ca else { return Ok(None) };
        let first = crate::cert::read_certificates(file)?.into_iter().next();
        Ok(Some(first.with_context(|| format!("{file}: no certificate"))?))
    }

    /// Writes what there is, and reads it back. What the last slot has more is filled up with zeros.
    fn write(&self, element: &mut Driver, content: &[u8]) -> anyhow::Result<()> {
        let config = element.run(ReadConfig::default()).context("configuration zone")?;
        if !config.is_data_locked() {
            return Err(anyhow::anyhow!("the data zone is not locked yet: what is written now is written over"))
                .context(Help("personalise the part first: `cotter element plan`, `cotter element apply`"));
        }
        let room: usize = self.slots.iter().map(|slot| slot.len()).sum();
        for slot in &self.slots {
            let (rules, number) = (SlotRules::of(&config, *slot), slot.number());
            ensure!(!rules.is_locked, "slot {number} is locked, for ever");
            let is_open = rules.writes == Writes::Clear && rules.reads == Reads::Clear;
            ensure!(is_open, "slot {number} is not for certificates: `cotter element show` says who writes it");
        }
        ensure!(content.len() <= room, "the certificate has {} bytes, the slots have {room}", content.len());
        let mut content = content.to_vec();
        content.resize(room, 0);
        let mut rest = content.as_slice();
        for slot in &self.slots {
            let (piece, after) = rest.split_at(slot.len().min(rest.len()));
            rest = after;
            element.run(WriteSlot::new(*slot, piece)).with_context(|| format!("slot {}", slot.number()))?;
            let mut read = vec![0; piece.len()];
            element.run(ReadSlot::new(*slot, &mut read)).with_context(|| format!("slot {}", slot.number()))?;
            ensure!(read == piece, "slot {} does not read back as written", slot.number());
        }
        Ok(())
    }

    fn read(&self, from: &mut Found) -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        for slot in &self.slots {
            let mut piece = vec![0; slot.len()];
            from.0
                .run(ReadSlot::new(*slot, &mut piece))
                .with_context(|| format!("slot {}", slot.number()))
                .context(Help("is it one that everybody reads? `cotter element show`"))?;
            content.extend(piece);
        }
        Ok(content)
    }
}

/// The SEQUENCE at the beginning, which says how long it is.
fn der_of(bytes: &[u8]) -> Option<&[u8]> {
    let len = match *bytes {
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        [0x30, 0x81, len, ..] => 3 + usize::from(len),
        [0x30, len, ..] if len < 0x80 => 2 + usize::from(len),
        _ => return None,
    };
    bytes.get(..len)
}

fn issued_by(certificate: &Certificate, ca: &Certificate) -> anyhow::Result<()> {
    ensure!(
        certificate.issuer() == ca.subject(),
        "the certificate is by {}, the CA is {}",
        certificate.issuer(),
        ca.subject()
    );
    let algorithm = certificate.signature_algorithm();
    algorithm.verify(ca.spki(), certificate.signed(), certificate.signature()).context("the CA's signature")
}

#[derive(Serialize)]
struct Stored {
    slots: Vec<u8>,
    bytes: usize,
    subject: String,
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes in {}", self.subject, self.bytes, listed(&self.slots))
    }
}

#[derive(Serialize)]
struct Fetched {
    file: String,
    slots: Vec<u8>,
    subject: String,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, from {}", self.file, self.subject, listed(&self.slots))
    }
}

fn listed(slots: &[u8]) -> String {
    let numbers: Vec<_> = slots.iter().map(ToString::to_string).collect();
    format!("slot{} {}", if slots.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
