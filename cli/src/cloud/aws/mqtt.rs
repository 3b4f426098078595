//! `cotter cloud aws mqtt`: connection parameters for a device with a certificate.

use super::super::{Identity, KeyLocation, Out};
use crate::output::Format;
use cotter_factory::output::Visibility;
use cotter_wire::cloud::aws::{ALPN_CERTIFICATE, ThingName};
use serde::Serialize;

/// Write what a device with a certificate connects to AWS IoT Core with: host, port, client id, files, topics.
///
/// The certificate is the device's own, by a CA that you registered with AWS, or by AWS itself (`cotter cloud aws csr`). It is
/// checked that it is valid now and for the private key. Nothing secret is written: the private key stays where it is.
///
/// Example: cotter cloud aws mqtt --endpoint a1b2c3-ats.iot.eu-west-1.amazonaws.com --certificate device.pem --key device.key.pem -o mqtt.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The account's data endpoint: `aws iot describe-endpoint --endpoint-type iot:Data-ATS`.
    #[arg(long, value_name = "HOST", value_parser = super::endpoint)]
    endpoint: String,
    /// 8883, or 443 where a firewall lets nothing else out.
    #[arg(long, default_value_t = 8883, value_parser = port)]
    port: u16,
    /// The thing, and so the client id; the certificate's common name without this.
    #[arg(long, value_name = "NAME")]
    thing: Option<String>,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let judged = args.identity.judge()?;
    let name = args.thing.as_deref().unwrap_or(&judged.certificate.common_name);
    let thing = ThingName::new(name).map_err(super::misnamed)?.as_str();
    let document = Connection {
        endpoint: &args.endpoint,
        port: args.port,
        alpn: (args.port == 443).then_some(ALPN_CERTIFICATE),
        server_name: &args.endpoint,
        client_id: thing,
        thing,
        certificate: args.identity.certificate.to_string(),
        key_kind: judged.certificate.kind.to_string(),
        private_key: judged.location,
        root_ca: ROOT_CA,
        topics: Topics::of(thing),
    };
    let what = format!("{thing} at {}:{}, by its certificate", args.endpoint, args.port);
    args.out.write(&document, Visibility::Public, what, format)
}

#[derive(Serialize)]
struct Connection<'a> {
    endpoint: &'a str,
    port: u16,
    /// Only on port 443.
    alpn: Option<&'static str>,
    server_name: &'a str,
    client_id: &'a str,
    thing: &'a str,
    certificate: String,
    key_kind: String,
    private_key: KeyLocation,
    root_ca: &'static str,
    topics: Topics,
}

#[derive(Serialize)]
struct Topics {
    shadow_update: String,
    shadow_delta: String,
    jobs_notify: String,
    jobs_next: String,
    defender: String,
}

impl Topics {
    fn of(thing: &str) -> Self {
        let at = |rest: &str| format!("$aws/things/{thing}/{rest}");
        Self {
            shadow_update: at("shadow/update"),
            shadow_delta: at("shadow/update/delta"),
            jobs_notify: at("jobs/notify-next"),
            jobs_next: at("jobs/$next/get"),
            defender: at("defender/metrics/json"),
        }
    }
}

/// The anchors of endpoints that end in `-ats`.
const ROOT_CA: &str = "Amazon Root CA 1 (RSA-2048) or Amazon Root CA 3 (P-256)";

fn port(text: &str) -> Result<u16, String> {
    match text {
        "8883" => Ok(8883),
        "443" => Ok(443),
        _ => Err("AWS IoT takes certificates on 8883 and 443".to_owned()),
    }
}
