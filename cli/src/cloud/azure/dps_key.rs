//! `cotter cloud azure dps-key`: the key of one device out of its enrollment group's.

use super::super::{Out, symmetric_key};
use crate::file::File;
use crate::output::Format;
use cotter_factory::output::Visibility;
use cotter_wire::cloud::azure::{MAX_KEY_TEXT, RegistrationId};
use zeroize::Zeroizing;

/// Derive a device's key from the key of its enrollment group in Azure's Device Provisioning Service.
///
/// HMAC-SHA256 over the registration id. The group's key stays here; the device gets only its own, in base64.
///
/// Example: cotter cloud azure dps-key --group-key group.key.txt --registration-id device-0001 -o device.key.txt
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file with the group's symmetric key in base64, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    group_key: File,
    /// The device's name in DPS, exactly as it will be used.
    #[arg(long, value_name = "ID")]
    registration_id: String,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let registration = RegistrationId::new(&args.registration_id)?;
    let key = symmetric_key(&args.group_key)?.derive(&registration);
    let mut buffer = Zeroizing::new([0; MAX_KEY_TEXT]);
    let text = Zeroizing::new(format!("{}\n", key.write_base64(&mut buffer)));
    args.out.write_text(&text, Visibility::Secret, format!("the key of {}", registration.as_str()), format)
}
