//! `cotter cloud aws authorizer`: a signed token for a custom authorizer.

use super::super::{Out, explained};
use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::output::Format;
use anyhow::Context;
use cotter_factory::cloud::{AuthorizerKey, fresh_token};
use cotter_factory::output::Visibility;
use cotter_wire::cloud::aws::{ALPN_AUTHORIZER, AuthorizerToken};
use serde::Serialize;
use zeroize::Zeroizing;

/// Write what a device shows to a custom authorizer of AWS IoT Core: a token and its signature, in the MQTT user name.
///
/// AWS verifies the signature before it runs the authorizer's function, which then says what the token may do. Without --token
/// the token is 32 fresh random bytes; a device token (`aud`, `iat`, `exp`) does as well. The result is a secret.
///
/// Example: cotter cloud aws authorizer --endpoint a1b2c3-ats.iot.eu-west-1.amazonaws.com --authorizer my-authorizer --token-key token --key authorizer.pem --client-id device-0001 -o authorizer.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The account's data endpoint.
    #[arg(long, value_name = "HOST", value_parser = super::endpoint)]
    endpoint: String,
    /// The authorizer's name.
    #[arg(long, value_name = "NAME")]
    authorizer: String,
    /// The name of the parameter that it takes the token from (`tokenKeyName`).
    #[arg(long, value_name = "NAME")]
    token_key: String,
    /// The RSA key whose public half the authorizer has (`tokenSigningPublicKeys`).
    #[arg(long, value_name = "PEM")]
    key: File,
    #[command(flatten)]
    password: Password,
    /// A file with the token, one line; without this a fresh one is made.
    #[arg(long, value_name = "FILE")]
    token: Option<File>,
    /// What the device calls itself.
    #[arg(long, value_name = "NAME")]
    client_id: String,
    /// What comes before the question mark of the user name.
    #[arg(long, value_name = "NAME", default_value = "")]
    user: String,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let client_id = cotter_wire::cloud::aws::ThingName::new(&args.client_id).context("--client-id")?.as_str();
    let key = AuthorizerKey::new(read_private_key(&args.key, &args.password)?).map_err(explained)?;
    let token = match &args.token {
        Some(file) => {
            let bytes = Zeroizing::new(file.read()?);
            let text = std::str::from_utf8(bytes.trim_ascii_end()).with_context(|| format!("{file}: not text"))?;
            Zeroizing::new(text.to_owned())
        }
        None => fresh_token()?,
    };
    let token = AuthorizerToken::new(&args.user, &args.authorizer, &args.token_key, &token).map_err(super::misnamed)?;
    let user_name = key.user_name(&token).map_err(explained)?;
    let document = Connection {
        endpoint: &args.endpoint,
        port: 443,
        alpn: ALPN_AUTHORIZER,
        server_name: &args.endpoint,
        client_id,
        user_name: &user_name,
        password: "",
    };
    let what = format!("a token for the authorizer {}", args.authorizer);
    args.out.write(&document, Visibility::Secret, what, format)
}

#[derive(Serialize)]
struct Connection<'a> {
    endpoint: &'a str,
    port: u16,
    alpn: &'static str,
    server_name: &'a str,
    client_id: &'a str,
    user_name: &'a str,
    /// The authorizer's function gets it as base64; what it wants in it is its own affair.
    password: &'static str,
}
