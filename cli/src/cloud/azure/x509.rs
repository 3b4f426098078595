//! `cotter cloud azure x509`: connection parameters for a device with a certificate.

use super::super::{Identity, KeyLocation, Out};
use super::Connection;
use crate::output::{Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_wire::cloud::azure::{RegistrationId, Resource};
use serde::Serialize;

/// Write what a device with a certificate registers with Azure's Device Provisioning Service with.
///
/// The registration id is the certificate's common name. It is checked that the certificate is valid now and for the private
/// key. Nothing secret is written: the private key stays where it is, and there is no password.
///
/// Example: cotter cloud azure x509 --id-scope 0ne00012345 --certificate device.pem --key device.key.pem -o dps.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id scope, as the portal shows it.
    #[arg(long, value_name = "SCOPE")]
    id_scope: String,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let judged = args.identity.judge()?;
    let registration = RegistrationId::new(&judged.certificate.common_name)
        .with_context(|| format!("{}: its common name", args.identity.certificate))
        .context(Help("issue it for a subject whose CN is the registration id"))?;
    let resource = Resource::provisioning(&args.id_scope, &registration)?;
    let document = WithCertificate {
        connection: Connection::provisioning(registration.as_str(), &resource)?,
        registration_id: registration.as_str(),
        certificate: args.identity.certificate.to_string(),
        key_kind: judged.certificate.kind.to_string(),
        private_key: judged.location,
    };
    args.out.write(&document, Visibility::Public, format!("{}, by its certificate", registration.as_str()), format)
}

#[derive(Serialize)]
struct WithCertificate<'a> {
    #[serde(flatten)]
    connection: Connection<'a>,
    registration_id: &'a str,
    certificate: String,
    key_kind: String,
    private_key: KeyLocation,
}
