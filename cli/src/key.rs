//! `cotter key`: keys made, looked at, and their public halves taken out.

mod digest;
mod generate;
mod header;
mod inspect;
mod token;

pub(crate) use token::TokenArgs;

use crate::file::File;
use crate::output::{self, Format};
use crate::prompt::Secret;
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
        match self.private(bytes) {
            Ok(key) => Ok((key.public().clone(), Half::Private)),
            Err(refused) if matches!(refused.downcast_ref(), Some(PrivateKeyError::NotPem)) => {
                let key = PublicKey::from_pem(bytes).with_context(|| self.file().to_string())?;
                Ok((key, Half::Public))
            }
            Err(refused) => Err(refused),
        }
    }

    pub(crate) fn private(&self, pem: &[u8]) -> anyhow::Result<PrivateKey> {
        private_key(pem, &self.password, &self.file())
    }

    /// True if a password is there without asking for one.
    pub(crate) fn has_password(&self) -> bool {
        self.password.password_file.is_some() || std::env::var_os(PASSWORD).is_some()
    }

    /// Where the key is; stdin if a token has it.
    pub(crate) fn file(&self) -> File {
        self.key.clone().unwrap_or(File::Standard)
    }
}

/// Where the password of an encrypted private key is.
#[derive(clap::Args, Default)]
pub(crate) struct Password {
    /// Password of an encrypted private key: the first line of this file. Else COTTER_KEY_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<File>,
}

impl Password {
    /// The file whose first line it is, if one was named.
    pub(crate) const fn file(&self) -> Option<&File> {
        self.password_file.as_ref()
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

/// Which half of a key there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Private,
    Public,
    /// The private one, which stays where it is.
    OnToken,
}

/// Reads a private key. A password is the first line of its file, else in the environment, else asked for.
pub(crate) fn private_key(pem: &[u8], from: &Password, name: &File) -> anyhow::Result<PrivateKey> {
    let help = |refused: &PrivateKeyError| match refused {
        PrivateKeyError::LegacyEncryption => Some("convert it: `openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem`"),
        _ => None,
    };
    let password = match PrivateKey::from_pem(pem, None) {
        Err(PrivateKeyError::PasswordNeeded) => {
            Some(password(&format!("password of {name}"), from.password_file.as_ref()).get()?)
        }
        _ => None,
    };
    PrivateKey::from_pem(pem, password.as_ref().map(|password| password.as_bytes())).map_err(|refused| {
        let help = help(&refused);
        let error = anyhow::Error::new(refused).context(name.to_string());
        match help {
            Some(help) => error.context(output::Help(help)),
            None => error,
        }
    })
}

/// The password of a key file.
fn password<'a>(name: &'a str, file: Option<&'a File>) -> Secret<'a> {
    Secret {
        name,
        file,
        variable: PASSWORD,
        help: "name the file that holds the password with --password-file, or set COTTER_KEY_PASSWORD",
    }
}

const PASSWORD: &str = "COTTER_KEY_PASSWORD";
