//! `cotter key`: keys made, looked at, and their public halves taken out.

mod bootloader;
mod generate;
mod header;
mod inspect;
mod password;

use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use clap::Subcommand;
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::PublicKey;
pub(crate) use password::Password;
use zeroize::Zeroizing;

/// Make keys, say what a key file is, and take out what may be public.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    BootloaderKey(bootloader::Args),
    Digest(inspect::DigestArgs),
    ExportHeader(header::Args),
    Generate(generate::Args),
    Inspect(inspect::Args),
    Public(inspect::PublicArgs),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::BootloaderKey(args) => bootloader::run(args, format),
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
    #[command(flatten)]
    password: Password,
}

impl KeyFile {
    fn read(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.key.read()?))
    }

    /// The public key in it, or the public half of the private key, and whether it was private.
    fn public(&self, bytes: &[u8]) -> anyhow::Result<(PublicKey, bool)> {
        match private_key(bytes, &self.password, &self.key) {
            Ok(key) => Ok((key.public().clone(), true)),
            Err(refused) if matches!(refused.downcast_ref(), Some(PrivateKeyError::NotPem)) => {
                let key = PublicKey::from_pem(bytes).with_context(|| self.key.to_string())?;
                Ok((key, false))
            }
            Err(refused) => Err(refused),
        }
    }
}

/// The public key in a file, or the public half of the private key in it.
pub(crate) fn public_key(file: &File, password: &Password) -> anyhow::Result<PublicKey> {
    let pem = Zeroizing::new(file.read()?);
    match private_key(&pem, password, file) {
        Ok(key) => Ok(key.public().clone()),
        Err(refused) if matches!(refused.downcast_ref(), Some(PrivateKeyError::NotPem)) => {
            PublicKey::from_pem(&pem).with_context(|| file.to_string())
        }
        Err(refused) => Err(refused),
    }
}

/// Reads a private key; asks for its password if it needs one and none was given.
pub(crate) fn private_key(pem: &[u8], password: &Password, name: &File) -> anyhow::Result<PrivateKey> {
    let given = password.given()?;
    let mut read = PrivateKey::from_pem(pem, given.as_ref().map(|password| password.as_slice()));
    if let Err(PrivateKeyError::PasswordNeeded) = read
        && let Some(asked) = password.asked(name)?
    {
        read = PrivateKey::from_pem(pem, Some(&asked));
    }
    read.map_err(|refused| {
        let help = match refused {
            PrivateKeyError::PasswordNeeded => "name the file that holds the password with --password-file",
            PrivateKeyError::LegacyEncryption => "convert it: `openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem`",
            PrivateKeyError::P192 => "sign with another tool and give the result to `cotter image sign --signature`",
            _ => return anyhow::Error::new(refused).context(name.to_string()),
        };
        anyhow::Error::new(refused).context(name.to_string()).context(output::Help(help))
    })
}
