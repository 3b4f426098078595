//! `cotter cloud azure`: credentials for Azure IoT Hub and its Device Provisioning Service (DPS).

mod dps_key;
mod dps_sas;
mod sas;
mod x509;

use crate::output::Format;
use cotter_factory::output::Visibility;
use cotter_wire::cloud::azure::{MAX_SAS, Resource, SymmetricKey};
use cotter_wire::ids::UnixTime;
use serde::Serialize;
use zeroize::Zeroizing;

/// Credentials for Azure IoT Hub and its Device Provisioning Service (DPS).
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    DpsKey(dps_key::Args),
    DpsSas(dps_sas::Args),
    Sas(sas::Args),
    X509(x509::Args),
}

pub(super) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::DpsKey(args) => dps_key::run(args, format),
        Verb::DpsSas(args) => dps_sas::run(args, format),
        Verb::Sas(args) => sas::run(args, format),
        Verb::X509(args) => x509::run(args, format),
    }
}

/// What a client of MQTT connects with.
#[derive(Serialize)]
struct Connection<'a> {
    host: &'a str,
    port: u16,
    client_id: &'a str,
    user_name: String,
    /// Nothing, where a certificate says who the device is.
    password: Option<&'a str>,
    expires_at: Option<u64>,
    publish: String,
    subscribe: Vec<String>,
}

impl<'a> Connection<'a> {
    fn hub(host: &'a str, device: &'a str, resource: &Resource<'_>) -> anyhow::Result<Self> {
        let subscribe = vec![
            format!("devices/{device}/messages/devicebound/#"),
            "$iothub/methods/POST/#".to_owned(),
            "$iothub/twin/res/#".to_owned(),
            "$iothub/twin/PATCH/properties/desired/#".to_owned(),
        ];
        Ok(Self::new(host, device, resource, format!("devices/{device}/messages/events/"), subscribe)?)
    }

    fn provisioning(registration: &'a str, resource: &Resource<'_>) -> anyhow::Result<Self> {
        let publish = "$dps/registrations/PUT/iotdps-register/?$rid=1".to_owned();
        let subscribe = vec!["$dps/registrations/res/#".to_owned()];
        Ok(Self::new(cotter_wire::cloud::azure::PROVISIONING_HOST, registration, resource, publish, subscribe)?)
    }

    fn new(
        host: &'a str,
        client_id: &'a str,
        resource: &Resource<'_>,
        publish: String,
        subscribe: Vec<String>,
    ) -> Result<Self, cotter_wire::canonical::OutputFull> {
        let user_name = resource.user_name(&mut [0; MAX_SAS])?.to_owned();
        Ok(Self { host, port: 8883, client_id, user_name, password: None, expires_at: None, publish, subscribe })
    }
}

/// The token, wiped on drop.
fn token(resource: &Resource<'_>, key: &SymmetricKey, end: UnixTime) -> anyhow::Result<Zeroizing<String>> {
    let mut out = Zeroizing::new([0; MAX_SAS]);
    Ok(Zeroizing::new(resource.sas(key, end, &mut *out)?.to_owned()))
}

/// Adds the token to the connection and writes it.
fn write_with_token(
    out: &super::Out,
    connection: Connection<'_>,
    (resource, key, end): (&Resource<'_>, &SymmetricKey, UnixTime),
    format: Format,
) -> anyhow::Result<bool> {
    let password = token(resource, key, end)?;
    let what = format!("{} until {}", connection.client_id, crate::moment::Moment(end.0));
    let connection = Connection { password: Some(&password), expires_at: Some(end.0), ..connection };
    out.write(&connection, Visibility::Secret, what, format)
}
