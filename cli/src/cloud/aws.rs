//! `cotter cloud aws`: credentials for AWS IoT Core.

mod authorizer;
mod csr;
mod mqtt;

use crate::output::{Format, Help};
use cotter_wire::cloud::aws::AwsNameError;

/// Credentials for AWS IoT Core.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Authorizer(authorizer::Args),
    Csr(csr::Args),
    Mqtt(mqtt::Args),
}

pub(super) fn run(verb: &Verb, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Authorizer(args) => authorizer::run(args, format),
        Verb::Csr(args) => csr::run(args, format),
        Verb::Mqtt(args) => mqtt::run(args, format),
    }
}

/// A host name, as `aws iot describe-endpoint` says it.
fn endpoint(text: &str) -> Result<String, String> {
    let allows = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_host = text.contains('.') && text.len() <= 253 && text.bytes().all(allows);
    let is_host = is_host && text.split('.').all(|label| !label.is_empty());
    if is_host { Ok(text.to_owned()) } else { Err("expected a host name in lower case, without a port".to_owned()) }
}

/// A refused name with the next step.
fn misnamed(refused: AwsNameError) -> anyhow::Error {
    let help = match refused {
        AwsNameError::Thing => "name the thing with --thing, as AWS has it",
        AwsNameError::Token => "base64url and JSON Web Tokens are made of these; leave --token away for a fresh one",
        _ => return refused.into(),
    };
    anyhow::Error::new(refused).context(Help(help))
}
