//! `cotter cloud aws csr`: a certificate by AWS, asked for just in time.

use super::super::Out;
use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::output::Format;
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::pki::{Name, Request};
use cotter_wire::cloud::aws::ThingName;
use serde::Serialize;
use std::collections::BTreeMap;

/// Write the messages with which a device has AWS IoT Core issue a certificate for its own key, and register it.
///
/// Fleet provisioning: a device that is connected with a claim certificate publishes the request, gets a certificate and an
/// ownership token, puts the token into the second message, and is a thing. The private key stays where it is.
///
/// Example: cotter cloud aws csr --key device.key.pem --thing device-0001 --template my-fleet --parameter SerialNumber=0001 -o provisioning.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The device's private key, which signs the request.
    #[arg(long, value_name = "PEM")]
    key: File,
    #[command(flatten)]
    password: Password,
    /// The thing, which becomes the request's common name.
    #[arg(long, value_name = "NAME")]
    thing: String,
    /// The provisioning template.
    #[arg(long, value_name = "NAME", value_parser = template)]
    template: String,
    /// A parameter of the template, NAME=VALUE, again and again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    #[command(flatten)]
    out: Out,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.out.check()?;
    let thing = ThingName::new(&args.thing).map_err(super::misnamed)?.as_str();
    let key = read_private_key(&args.key, &args.password)?;
    let request = Request::create(&key, &Name::common(thing)?, &[]).context("request")?;
    let certificate = "$aws/certificates/create-from-csr/json";
    let register = format!("$aws/provisioning-templates/{}/provision/json", args.template);
    let parameters: BTreeMap<_, _> = args.parameter.iter().map(|(name, value)| (&**name, &**value)).collect();
    anyhow::ensure!(parameters.len() == args.parameter.len(), "a --parameter is there twice");
    let document = Provisioning {
        subscribe: answers(certificate).into_iter().chain(answers(&register)).collect(),
        certificate: Message {
            publish: certificate.to_owned(),
            payload: Certificate { certificate_signing_request: request.to_pem() },
        },
        register: Message { publish: register, payload: Register { certificate_ownership_token: "", parameters } },
    };
    let what = format!("requests for a certificate and for the thing {thing}");
    args.out.write(&document, Visibility::Public, what, format)
}

fn answers(topic: &str) -> [String; 2] {
    ["accepted", "rejected"].map(|end| format!("{topic}/{end}"))
}

#[derive(Serialize)]
struct Provisioning<'a> {
    /// Before anything is published.
    subscribe: Vec<String>,
    certificate: Message<Certificate>,
    register: Message<Register<'a>>,
}

#[derive(Serialize)]
struct Message<T> {
    publish: String,
    payload: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    certificate_signing_request: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Register<'a> {
    /// The device fills it in from the first answer; it lives for an hour.
    certificate_ownership_token: &'static str,
    parameters: BTreeMap<&'a str, &'a str>,
}

fn template(text: &str) -> Result<String, String> {
    let allows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_one = (1..=36).contains(&text.len()) && text.bytes().all(allows);
    if is_one { Ok(text.to_owned()) } else { Err("expected 1 to 36 letters, digits and _-".to_owned()) }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() { Err("expected NAME=VALUE".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}
