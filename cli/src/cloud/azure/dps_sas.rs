//! `cotter cloud azure dps-sas`: a shared access signature for the Device Provisioning Service.

use super::super::{Lifetime, Out, symmetric_key};
use super::Connection;
use crate::file::File;
use crate::output::Format;
use cotter_wire::cloud::azure::{RegistrationId, Resource};

/// Write what a device with a symmetric key registers with Azure's Device Provisioning Service with.
///
/// With --group-key the device's key is derived first, as `cotter cloud azure dps-key` does. The result is a secret, for as long as
/// --hours says.
///
/// Example: cotter cloud azure dps-sas --id-scope 0ne00012345 --registration-id device-0001 --key device.key.txt -o dps.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id scope, as the portal shows it.
    #[arg(long, value_name = "SCOPE")]
    id_scope: String,
    /// The device's name in DPS.
    #[arg(long, value_name = "ID")]
    registration_id: String,
    /// A file with the device's symmetric key in base64, `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "group_key", required_unless_present = "group_key")]
    key: Option<File>,
    /// A file with the enrollment group's key in base64, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    group_key: Option<File>,
    #[command(flatten)]
    lifetime: Lifetime,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let registration = RegistrationId::new(&args.registration_id)?;
    let resource = Resource::provisioning(&args.id_scope, &registration)?;
    let key = match (&args.key, &args.group_key) {
        (Some(file), _) => symmetric_key(file)?,
        (None, Some(group)) => symmetric_key(group)?.derive(&registration),
        (None, None) => anyhow::bail!("no key"),
    };
    let connection = Connection::provisioning(registration.as_str(), &resource)?;
    super::write_with_token(&args.out, connection, (&resource, &key, args.lifetime.end()), format)
}
