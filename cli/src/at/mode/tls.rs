//! `--mode tls`: a key or certificates, by the system's OpenSSL if this program was built with it.

use super::{End, Maker};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What mode tls takes beside a key.
#[derive(clap::Args)]
pub(crate) struct TlsChoice {
    /// tls: whose certificates are believed, PEM. With it there are certificates instead of a key.
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"], conflicts_with_all = ["psk", "psk_file"])]
    tls_ca: Option<PathBuf>,
    /// tls: this end's certificate and those up to the authority, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_cert: Option<PathBuf>,
    /// tls: the private key of this end's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_key: Option<PathBuf>,
    /// tls: the name that the other end's certificate must have; without it, any of the authority's.
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_peer: Option<String>,
    /// tls: what the key is called on the wire.
    #[arg(long, value_name = "NAME", default_value = "cotter")]
    psk_identity: String,
    /// tls: this version alone.
    #[arg(long, value_enum, value_name = "VERSION")]
    tls_version: Option<Version>,
    /// tls: who says hello first; a module unless it is said. Each end takes another role.
    #[arg(long, value_enum, value_name = "ROLE")]
    tls_role: Option<Role>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Role {
    Client,
    Server,
}

#[cfg(feature = "link-tls")]
impl TlsChoice {
    pub(super) fn maker(
        &self,
        end: End,
        key: impl FnOnce() -> anyhow::Result<Zeroizing<Vec<u8>>>,
    ) -> anyhow::Result<Maker> {
        use cotter_twin::at::line::tls::{Role as TlsRole, Tls, TlsSettings, Trust, Versions};
        use std::sync::Arc;

        let role = match (self.tls_role, end) {
            (Some(Role::Client), _) | (None, End::Module) => TlsRole::Client,
            (Some(Role::Server), _) | (None, End::Host) => TlsRole::Server,
        };
        let versions = match self.tls_version {
            None => Versions::Any,
            Some(Version::Tls12) => Versions::Tls12,
            Some(Version::Tls13) => Versions::Tls13,
        };
        let trust = match (&self.tls_ca, &self.tls_cert, &self.tls_key) {
            (Some(authority), Some(chain), Some(key)) => Trust::Certificates {
                authority: authority.clone(),
                chain: chain.clone(),
                key: key.clone(),
                peer: self.tls_peer.clone(),
            },
            _ => Trust::Psk { identity: self.psk_identity.clone(), key: key()? },
        };
        let settings = Arc::new(TlsSettings::new(role, versions, trust)?);
        Ok(Box::new(move || Box::new(Tls::new(Arc::clone(&settings)))))
    }
}

#[cfg(not(feature = "link-tls"))]
impl TlsChoice {
    pub(super) fn maker(
        &self,
        _: End,
        _: impl FnOnce() -> anyhow::Result<Zeroizing<Vec<u8>>>,
    ) -> anyhow::Result<Maker> {
        Err(anyhow::anyhow!("this cotter was built without TLS for serial lines").context(crate::output::Help(
            "build it with `cargo build -p cotter --features link-tls` (libssl-dev and pkg-config are needed), or use --mode psk",
        )))
    }
}
