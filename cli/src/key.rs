//! `cotter key`: keys made, looked at, and their public halves taken out.

mod generate;
mod header;
mod inspect;

use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use clap::Subcommand;
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::PublicKey;
use zeroize::Zeroizing;

/// Make keys, say what a key file is, and take out what may be public.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Digest(inspect::DigestArgs),
    ExportHeader(header::Args),
    Generate(generate::Args),
    Inspect(inspect::Args),
    Public(inspect::PublicArgs),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Digest(args) => inspect::digest(args, format),
        Verb::ExportHeader(args) => header::run(args),
        Verb::Generate(args) => generate::run(args, format),
        Verb::Inspect(args) => inspect::run(args, format),
        Verb::Public(args) => inspect::public(args),
    }
}

/// A key file, and the password of an encrypted one.
#[derive(clap::Args)]
pub(crate) struct KeyFile {
    /// The key, `-` for stdin.
    key: File,
    /// Password of an encrypted private key: the first line of this file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<File>,
}

impl KeyFile {
    fn read(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.key.read()?))
    }

    /// The public key in it, or the public half of the private key, and whether it was private.
    fn public(&self, bytes: &[u8]) -> anyhow::Result<(PublicKey, bool)> {
        match private_key(bytes, self.password_file.as_ref(), &self.key) {
            Ok(key) => Ok((key.public().clone(), true)),
            Err(refused) if matches!(refused.downcast_ref(), Some(PrivateKeyError::NotPem)) => {
                let key = PublicKey::from_pem(bytes).with_context(|| self.key.to_string())?;
                Ok((key, false))
            }
            Err(refused) => Err(refused),
        }
    }
}

/// Reads a private key; the password is the first line of its file.
pub(crate) fn private_key(pem: &[u8], password_file: Option<&File>, name: &File) -> anyhow::Result<PrivateKey> {
    let password = password_file.map(|file| file.read().map(Zeroizing::new)).transpose()?;
    let line = password.as_deref().map(|text| text.split(|&byte| byte == b'\n').next().unwrap_or_default());
    let line = line.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let help = |refused: &PrivateKeyError| match refused {
        PrivateKeyError::PasswordNeeded => Some("name the file that holds the password with --password-file"),
        PrivateKeyError::LegacyEncryption => Some("convert it: `openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem`"),
        PrivateKeyError::P192 => Some("sign with another tool and give the result to `cotter image sign --signature`"),
        _ => None,
    };
    PrivateKey::from_pem(pem, line).map_err(|refused| {
        let help = help(&refused);
        let error = anyhow::Error::new(refused).context(name.to_string());
        match help {
            Some(help) => error.context(output::Help(help)),
            None => error,
        }
    })
}
