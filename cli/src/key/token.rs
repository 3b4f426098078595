//! Keys on a PKCS#11 token: how a verb names one, and `cotter key token`, which lists them.

use crate::file::File;
use crate::image::hex;
use crate::output::{self, Format, Help};
use crate::prompt::Secret;
use anyhow::Context;
use cotter_factory::token::uri::Pkcs11Uri;
use cotter_factory::token::{Listed, Module, Token, TokenError, TokenKey};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// A private key on a token.
#[derive(clap::Args)]
pub(crate) struct TokenArgs {
    /// The key on a PKCS#11 token, such as `pkcs11:token=release;object=boot` (RFC 7512). The PIN comes from the file of
    /// its `pin-source` or of --pin-file, from COTTER_PKCS11_PIN, or is asked for.
    #[arg(long, value_name = "URI")]
    pkcs11: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// The way to a token.
#[derive(clap::Args)]
struct Access {
    /// The PKCS#11 library of the token's maker, if the URI does not name it (`module-path`). Its code is run.
    #[arg(long, value_name = "LIBRARY", env = "COTTER_PKCS11_MODULE")]
    pkcs11_module: Option<PathBuf>,
    /// The PIN: the first line of this file.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<File>,
}

impl TokenArgs {
    /// The key, after logging in.
    pub(crate) fn key(&self) -> anyhow::Result<Option<TokenKey>> {
        let Some(text) = &self.pkcs11 else { return Ok(None) };
        let uri: Pkcs11Uri = text.parse()?;
        let token = self.access.module(&uri)?.token(&uri).map_err(explained)?;
        self.access.login(&token, &uri)?;
        token.key(&uri).map(Some).map_err(explained)
    }
}

impl Access {
    fn module(&self, uri: &Pkcs11Uri) -> anyhow::Result<Module> {
        let path = uri.module_path().or(self.pkcs11_module.as_deref());
        let path = path.context("the PKCS#11 library of the token is not named").context(Help(
            "name it with --pkcs11-module, COTTER_PKCS11_MODULE, or \"?module-path=\" in the URI; SoftHSM's is \
             /usr/lib/softhsm/libsofthsm2.so on Debian",
        ))?;
        Module::load(path).with_context(|| format!("cannot load {}", path.display()))
    }

    fn login(&self, token: &Token, uri: &Pkcs11Uri) -> anyhow::Result<()> {
        if !token.needs_pin() {
            return token.login(None).map_err(explained);
        }
        let source = uri.pin_file()?.map(|path| File::Path(path.to_owned()));
        let secret = Secret {
            name: &format!("PIN of token {}", token.label().escape_debug()),
            file: source.as_ref().or(self.pin_file.as_ref()),
            variable: "COTTER_PKCS11_PIN",
            help: "give the PIN with --pin-file, with COTTER_PKCS11_PIN, or with \"?pin-source=file:/..\" in the URI",
        };
        token.login(Some(secret.get()?)).map_err(explained)
    }
}

/// With the next step.
fn explained(refused: TokenError) -> anyhow::Error {
    let help = match &refused {
        TokenError::NoToken { .. } | TokenError::ManyTokens { .. } => {
            Some("`cotter key token` lists tokens and keys with their URIs; serial= tells tokens of one name apart")
        }
        TokenError::NoKey { .. } | TokenError::ManyKeys { .. } => {
            Some("`cotter key token` lists the keys with their URIs; id= tells keys of one name apart")
        }
        _ => None,
    };
    let error = anyhow::Error::new(refused);
    match help {
        Some(help) => error.context(Help(help)),
        None => error,
    }
}

/// List the private keys on PKCS#11 tokens, each with the URI that names it.
///
/// Example: cotter key token --pkcs11-module /usr/lib/softhsm/libsofthsm2.so
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only of the tokens that this URI matches. Without one, tokens that want a PIN show what they show without.
    uri: Option<String>,
    #[command(flatten)]
    access: Access,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let uri = args.uri.as_deref().map_or(Ok(Pkcs11Uri::any()), str::parse)?;
    let mut tokens = Vec::new();
    for token in args.access.module(&uri)?.tokens(&uri)? {
        if args.uri.is_some() || args.access.pin_file.is_some() || std::env::var_os("COTTER_PKCS11_PIN").is_some() {
            args.access.login(&token, &uri)?;
        }
        let keys = token.keys()?.iter().map(KeyRow::of).collect();
        let (label, serial) = (token.label().escape_debug().to_string(), token.serial().escape_debug().to_string());
        tokens.push(TokenRow { label, serial, uri: token.uri().to_string(), keys });
    }
    output::value(&Tokens { tokens }, format)?;
    Ok(true)
}

#[derive(Serialize)]
struct Tokens {
    tokens: Vec<TokenRow>,
}

#[derive(Serialize)]
struct TokenRow {
    label: String,
    serial: String,
    uri: String,
    keys: Vec<KeyRow>,
}

#[derive(Serialize)]
struct KeyRow {
    label: String,
    id: String,
    uri: String,
    /// Kind and size; `None` if it cannot sign here.
    kind: Option<String>,
    secure_boot_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl KeyRow {
    fn of(key: &Listed) -> Self {
        let public = key.public.as_ref();
        Self {
            label: key.label.escape_debug().to_string(),
            id: hex(&key.id),
            uri: key.uri.to_string(),
            kind: public.ok().map(|public| public.kind().to_string()),
            secure_boot_digest: public
                .ok()
                .and_then(|public| public.secure_boot_digest().ok())
                .map(|digest| hex(&digest)),
            refusal: public.err().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tokens.is_empty() {
            return f.write_str("no token");
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}token {} (serial {})", token.label, token.serial)?;
            if token.keys.is_empty() {
                write!(f, "\n  no private key to be seen (without a PIN, most tokens hide them)")?;
            }
            for key in &token.keys {
                write!(f, "\n  {}  {}", key.kind.as_deref().unwrap_or("not usable"), key.uri)?;
                match (&key.secure_boot_digest, &key.refusal) {
                    (Some(digest), _) => write!(f, "\n    Secure Boot key digest {digest}")?,
                    (None, Some(refusal)) => write!(f, "\n    {refusal}")?,
                    (None, None) => {}
                }
            }
        }
        Ok(())
    }
}
