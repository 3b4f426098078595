//! `cotter cloud azure sas`: a shared access signature for a hub.

use super::super::{Lifetime, Out, symmetric_key};
use super::Connection;
use crate::file::File;
use crate::output::Format;
use cotter_wire::cloud::azure::Resource;

/// Write what a device with a symmetric key connects to an Azure IoT hub with: user name, and a signature for a password.
///
/// The key is the device's own (primary or secondary), as the portal shows it, in a file. The result is a secret, for as long as
/// --hours says.
///
/// Example: cotter cloud azure sas --hub my-hub.azure-devices.net --device device-0001 --key device.key.txt -o hub.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The hub's host name.
    #[arg(long, value_name = "HOST")]
    hub: String,
    /// The device id.
    #[arg(long, value_name = "ID")]
    device: String,
    /// A file with the device's symmetric key in base64, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    key: File,
    #[command(flatten)]
    lifetime: Lifetime,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let resource = Resource::hub(&args.hub, &args.device)?;
    let key = symmetric_key(&args.key)?;
    let connection = Connection::hub(&args.hub, &args.device, &resource)?;
    super::write_with_token(&args.out, connection, (&resource, &key, args.lifetime.end()), format)
}
