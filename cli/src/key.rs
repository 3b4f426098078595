//! `cotter key`: keys made, looked at, and their public halves taken out.

mod digest;
mod generate;
mod header;
mod inspect;
mod password;
mod token;

pub(crate) use password::{Password, Protection};
pub(crate) use token::TokenArgs;

use crate::file::File;
use crate::output::{Format, Help};
use clap::Subcommand;
use cotter_factory::device_key::DeviceKey;
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use cotter_factory::public_key::{PublicKey, PublicKeyError};
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::{Scheme, Support, support};
use zeroize::Zeroizing;

/// Make keys, say what a key file is, and take out what may be public.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Digest(digest::Args),
    #[command(alias = "digest-private-key")]
    DigestPrivate(digest::PrivateArgs),
    ExportHeader(header::Args),
    Generate(generate::Args),
    Inspect(inspect::Args),
    Public(digest::PublicArgs),
    Token(token::Args),
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Digest(args) => digest::run(args, format),
        Verb::DigestPrivate(args) => digest::private(args),
        Verb::ExportHeader(args) => header::run(args),
        Verb::Generate(args) => generate::run(args, format),
        Verb::Inspect(args) => inspect::run(args, format),
        Verb::Public(args) => digest::public(args),
        Verb::Token(args) => token::run(args, format),
    }
}

/// A key file, and the password of an encrypted one; or a key on a token.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["key", "pkcs11"])))]
pub(crate) struct KeySource {
    /// The key, `-` for stdin.
    key: Option<File>,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    token: TokenArgs,
}

/// What was found there.
pub(crate) enum Held {
    /// Text with a PEM block.
    Pem(Zeroizing<Vec<u8>>),
    /// Anything else in a file.
    Raw(Zeroizing<Vec<u8>>),
    /// The public half of a key on a token.
    Token(PublicKey),
}

impl KeySource {
    pub(crate) fn read(&self) -> anyhow::Result<Held> {
        if let Some(key) = self.token.key()? {
            return Ok(Held::Token(key.public().clone()));
        }
        let bytes = Zeroizing::new(self.file().read()?);
        let pem = bytes.windows(11).any(|window| window == b"-----BEGIN ");
        Ok(if pem { Held::Pem(bytes) } else { Held::Raw(bytes) })
    }

    /// The public key in it, or the public half of the private key, and which of both.
    pub(crate) fn public(&self, held: &Held) -> anyhow::Result<(PublicKey, Half)> {
        let bytes = match held {
            Held::Token(public) => return Ok((public.clone(), Half::OnToken)),
            Held::Pem(bytes) | Held::Raw(bytes) => bytes,
        };
        either_half(bytes, &self.password, &self.file())
    }

    pub(crate) fn private(&self, pem: &[u8]) -> anyhow::Result<PrivateKey> {
        private_key(pem, &self.password, &self.file())
    }

    /// True if a password is there without asking for one.
    pub(crate) fn has_password(&self) -> bool {
        self.password.is_given()
    }

    /// Where the key is; stdin if a token has it.
    pub(crate) fn file(&self) -> File {
        self.key.clone().unwrap_or(File::Standard)
    }
}

/// The public key in a file, or the public half of the private key in it.
pub(crate) fn public_key(file: &File, password: &Password) -> anyhow::Result<PublicKey> {
    Ok(either_half(&Zeroizing::new(file.read()?), password, file)?.0)
}

/// The public key in `pem`, which came from `name`, or the public half of the private key, and which of both.
pub(crate) fn either_half(pem: &[u8], password: &Password, name: &File) -> anyhow::Result<(PublicKey, Half)> {
    match private_key(pem, password, name) {
        Ok(key) => Ok((key.public().clone(), Half::Private)),
        Err(refused) if matches!(refused.downcast_ref(), Some(PrivateKeyError::NotPem)) => {
            let key = PublicKey::from_pem(pem).map_err(|refused| match refused {
                PublicKeyError::NotPem => anyhow::anyhow!("{name}: neither a private nor a public key in PEM").context(
                    Help("a key file has a block BEGIN PUBLIC KEY or BEGIN PRIVATE KEY (also RSA, EC, ENCRYPTED)"),
                ),
                other => anyhow::Error::new(other).context(name.to_string()),
            })?;
            Ok((key, Half::Public))
        }
        Err(refused) => Err(refused),
    }
}

/// Which half of a key there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Private,
    Public,
    /// The private one, which stays where it is.
    OnToken,
}

/// Reads a private key.
pub(crate) fn read_private_key(file: &File, password: &Password) -> anyhow::Result<PrivateKey> {
    private_key(&Zeroizing::new(file.read()?), password, file)
}

/// The private key in `pem`, which came from `name`.
pub(crate) fn private_key(pem: &[u8], password: &Password, name: &File) -> anyhow::Result<PrivateKey> {
    password.open(name, |password| PrivateKey::from_pem(pem, password))
}

/// Reads a device's private key, PEM or DER.
pub(crate) fn read_device_key(file: &File, password: &Password) -> anyhow::Result<DeviceKey> {
    let bytes = Zeroizing::new(file.read()?);
    password.open(file, |password| DeviceKey::read(&bytes, password))
}

/// The refusal of a scheme that the chip's ROM does not know, with those that it knows.
pub(crate) fn unverified(chip: Chip, scheme: Scheme) -> anyhow::Error {
    let all = [Scheme::Rsa3072, Scheme::EcdsaP192, Scheme::EcdsaP256, Scheme::EcdsaP384];
    let known = all.into_iter().filter(|&scheme| support(chip, scheme) != Support::No);
    let known: Vec<String> = known.map(|scheme| scheme.to_string()).collect();
    match known.as_slice() {
        [] => anyhow::anyhow!("the {chip} does not verify {scheme}, nor any other scheme that is known here"),
        known => anyhow::anyhow!("the {chip} does not verify {scheme}, but {}", known.join(", ")),
    }
}
