//! The keys of the modes noise-nn and noise-kk.

use super::{End, Maker, bytes_of_key};
use crate::file::File;
use crate::output::{BadUsage, Help};
use anyhow::Context;
use cotter_device::link::end::Settings;
use cotter_formats::secret::Secret;
use cotter_twin::at::line::sealed::Noise;
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::noise::{NoiseKeys, StaticKeys};
use cotter_wire::link::session::Side;
use zeroize::Zeroizing;

/// The static keys of noise-kk, beside the shared key.
#[derive(clap::Args)]
pub(crate) struct NoiseChoice {
    /// noise-kk: this end's private X25519 key, as `cotter at key x25519` makes it; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    static_key_file: Option<File>,
    /// noise-kk: the other end's public X25519 key, which `cotter at key x25519` writes beside its private one.
    #[arg(long, value_name = "FILE")]
    peer_key_file: Option<File>,
}

impl NoiseChoice {
    pub(crate) fn nn(end: End, psk: Secret<32>) -> Maker {
        let keys = move || NoiseKeys::nn(LinkPsk::allowing_example_keys(super::copy(&psk)));
        Box::new(move || Box::new(Noise::new(side(end), keys(), Settings::default())))
    }

    pub(crate) fn kk(&self, end: End, psk: Secret<32>) -> anyhow::Result<Maker> {
        let (Some(own), Some(peer)) = (&self.static_key_file, &self.peer_key_file) else {
            let help = Help(
                "make a pair per end with `cotter at key x25519`, and name them with --static-key-file and --peer-key-file",
            );
            let missing = "mode noise-kk needs this end's private key and the other's public key";
            return Err(BadUsage(missing.to_owned())).context(help);
        };
        let own = bytes_of_key(&Zeroizing::new(own.read()?), &own.to_string())?;
        let public = bytes_of_key(&peer.read()?, &peer.to_string())?.into_public(); // It is the other end's public key.
        let statics = move || StaticKeys::new(&own, public);
        // Each power-up takes keys; this one says whether they are of any use.
        statics().with_context(|| peer.to_string())?;
        let keys =
            move || statics().map(|statics| NoiseKeys::kk(LinkPsk::allowing_example_keys(super::copy(&psk)), statics));
        Ok(Box::new(move || {
            let keys = keys().expect("the same keys were taken above");
            Box::new(Noise::new(side(end), keys, Settings::default()))
        }))
    }
}

fn side(end: End) -> Side {
    if end == End::Host { Side::Host } else { Side::Module }
}
