//! The password of a private key: one way to give it to every verb, and never the command line, which every user of the
//! machine can read.

use crate::file::File;
use crate::output::Help;
use crate::prompt::Secret;
use cotter_factory::private_key::{PrivateKey, PrivateKeyError};
use zeroize::Zeroizing;

/// Where the password of a private key is.
#[derive(clap::Args, Default)]
pub(crate) struct Password {
    /// Password of an encrypted private key: the first line of this file. Else COTTER_KEY_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<File>,
}

impl Password {
    /// The same for a second key, whose option has another name.
    pub(crate) const fn in_file(password_file: Option<File>) -> Self {
        Self { password_file }
    }

    /// True if a password is there without asking for one.
    pub(crate) fn is_given(&self) -> bool {
        self.password_file.is_some() || std::env::var_os(VARIABLE).is_some()
    }

    /// Opens the key in `name` with `read`; a password is looked for only if the key is encrypted.
    pub(crate) fn open<T>(
        &self,
        name: &File,
        read: impl Fn(Option<&[u8]>) -> Result<T, PrivateKeyError>,
    ) -> anyhow::Result<T> {
        let opened = match read(None) {
            Err(PrivateKeyError::PasswordNeeded) => {
                let password = self.secret(&format!("password of {name}")).get()?;
                read(Some(password.as_bytes()))
            }
            other => other,
        };
        opened.map_err(|refused| {
            let help = help(&refused);
            let error = anyhow::Error::new(refused).context(name.to_string());
            match help {
                Some(help) => error.context(Help(help)),
                None => error,
            }
        })
    }

    fn secret<'a>(&'a self, name: &'a str) -> Secret<'a> {
        Secret {
            name,
            file: self.password_file.as_ref(),
            variable: VARIABLE,
            help: "name the file that holds the password with --password-file, or set COTTER_KEY_PASSWORD",
        }
    }
}

/// How a fresh private key is kept.
#[derive(clap::Args)]
pub(crate) struct Protection {
    /// Encrypt the fresh private key (PKCS#8) with a password: from --password-file, which implies this, from
    /// COTTER_KEY_PASSWORD, or asked for.
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    pub(crate) password: Password,
}

impl Protection {
    /// True if a fresh key is to be encrypted.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.encrypt || self.password.password_file.is_some()
    }

    /// The key in `existing`; else a fresh one, and the PEM to write.
    pub(crate) fn existing_or(
        &self,
        existing: Option<&File>,
        make: impl FnOnce() -> Result<PrivateKey, PrivateKeyError>,
    ) -> anyhow::Result<(PrivateKey, Option<Zeroizing<String>>)> {
        match existing {
            Some(file) => Ok((super::read_private_key(file, &self.password)?, None)),
            None => self.fresh(make).map(|(key, pem)| (key, Some(pem))),
        }
    }

    /// A fresh key and its PEM. The password, if one is wanted, is asked for before the key is made.
    pub(crate) fn fresh(
        &self,
        make: impl FnOnce() -> Result<PrivateKey, PrivateKeyError>,
    ) -> anyhow::Result<(PrivateKey, Zeroizing<String>)> {
        let password = if self.is_wanted() { Some(self.password.secret("new password").get_new()?) } else { None };
        let key = make()?;
        let pem = match password {
            Some(password) => key.to_encrypted_pem(password.as_bytes())?,
            None => key.to_pem()?,
        };
        Ok((key, pem))
    }
}

fn help(refused: &PrivateKeyError) -> Option<&'static str> {
    Some(match refused {
        PrivateKeyError::LegacyEncryption => "convert it: `openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem`",
        PrivateKeyError::Encryption => {
            "convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD.pem -out NEW.pem`"
        }
        PrivateKeyError::Password => "the password is the first line of --password-file, else COTTER_KEY_PASSWORD",
        PrivateKeyError::NotPem => "a private key file has a block BEGIN PRIVATE KEY (also RSA, EC, ENCRYPTED)",
        _ => return None,
    })
}

const VARIABLE: &str = "COTTER_KEY_PASSWORD";
