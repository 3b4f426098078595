//! `cotter element csr`: a request for a certificate, signed by the part.

use super::bus::OnBus;
use super::public_key::{public_key, slot};
use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_device::atecc::{Part, SlotSigner};
use cotter_device::signer::Signer;
use cotter_factory::output::Visibility;
use cotter_factory::pki::{AlternativeName, Name, UnsignedRequest};
use cotter_formats::atecc::Slot;
use serde::Serialize;
use std::fmt;

/// Make a request for a certificate (PKCS#10) for a private key in a slot, signed by the part.
///
/// Without --subject or --id it names the part's serial number: CN=0123.., as certificates do that are stored compressed.
/// `cotter cert issue --csr` grants it.
///
/// Example: cotter element csr --bus /dev/i2c-1 --slot 0 --id device-0001 -o device.csr
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bus: OnBus,
    /// Of the private key, 0 to 15.
    #[arg(long, value_parser = slot)]
    slot: Slot,
    /// Whom it is to name: CN=device-0001 or /CN=device-0001/O=Acme.
    #[arg(long, value_name = "NAME")]
    subject: Option<Name>,
    /// The device id, which becomes the common name.
    #[arg(long, value_name = "ID", conflicts_with = "subject")]
    id: Option<String>,
    /// An alternative name to ask for, again and again: a host, an address, URI:..., email:...
    #[arg(long, value_name = "NAME")]
    san: Vec<AlternativeName>,
    /// Where to write the request, `-` for stdout; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    let (mut element, part) = args.bus.open()?;
    let number = args.slot.number();
    let subject = match (&args.subject, &args.id) {
        (Some(subject), _) => subject.clone(),
        (None, Some(id)) => Name::common(id)?,
        (None, None) => name_of(&part)?,
    };
    let key = public_key(&mut element, args.slot)?;
    let unsigned = UnsignedRequest::new(&key, &subject, &args.san)?;
    let signature = SlotSigner::new(&mut element, &part, args.slot).sign(unsigned.to_be_signed());
    let signature = signature
        .with_context(|| format!("slot {number}"))
        .context(Help("its SlotConfig must let it sign what comes from outside, and the configuration be locked"))?;
    let request = unsigned.signed(&signature).with_context(|| format!("slot {number}"))?;
    let pem = request.to_pem();
    let bytes = crate::cert::encoding(&args.output, &pem, request.as_der());
    args.output.write_new(bytes, Visibility::Public, args.force)?;
    if args.output != File::Standard {
        let made = Made { file: args.output.to_string(), slot: number, subject: subject.to_string() };
        output::value(&made, format)?;
    }
    Ok(true)
}

/// What a part is called that has no other name: its serial number.
pub(super) fn name_of(part: &Part) -> anyhow::Result<Name> {
    Ok(Name::common(&hex(&part.serial.0))?)
}

#[derive(Serialize)]
struct Made {
    file: String,
    slot: u8,
    subject: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: request for {}, signed by slot {}", self.file, self.subject, self.slot)
    }
}
