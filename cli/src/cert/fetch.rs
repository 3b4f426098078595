//! `cotter cert fetch`: the chain that a server presents, and the trust anchor that belongs to it.

mod handshake;

use super::chain::Report;
use super::show::Shown;
use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::pki::chain::{Chain, End, Question};
use cotter_factory::pki::{Certificate, Purpose, certificate::CertificateError};
use cotter_formats::crt_bundle::CrtBundle;
use handshake::Presented;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Show the certificates that a TLS server presents, and save the trust anchor that a device needs for it.
///
/// A server hardly ever sends its root, and the last certificate that it sends is then no anchor: it changes without
/// notice. With -o the root is saved if the server sent it, or if --system-roots has it; otherwise nothing is saved, and
/// the address of the missing certificate is told. What comes over the network is not yet to be trusted: compare its
/// SHA-256 with what its owner publishes.
///
/// Example: cotter cert fetch example.com:443 --system-roots /etc/ssl/certs/ca-certificates.crt -o root.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server, port 443 unless given: example.com:8883, 192.0.2.1:443, [2001:db8::1]:443.
    #[arg(value_name = "HOST[:PORT]", value_parser = address)]
    server: Address,
    /// The name to ask for (SNI) and to expect, if it is not the host.
    #[arg(long, value_name = "HOST")]
    name: Option<String>,
    /// Look for the root among these certificates (PEM), for example the system's.
    #[arg(long, value_name = "FILE")]
    system_roots: Vec<File>,
    /// Say whether a device with this certificate bundle trusts the server.
    #[arg(long, value_name = "FILE")]
    bundle: Option<File>,
    /// Where to save the trust anchor; its name ends in .der for DER.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
    /// Where to save all that the server presented, in PEM.
    #[arg(long, value_name = "FILE")]
    chain: Option<File>,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
    /// Give up after so many seconds in all.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
}

fn address(text: &str) -> Result<Address, String> {
    let whole = || Address { host: text.to_owned(), port: 443 };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or("a [ without ]")? {
            (host, "") => (host, None),
            (host, port) => (host, Some(port.strip_prefix(':').ok_or("after ] comes :PORT")?)),
        },
        // An IPv6 address without brackets has no port.
        None if text.matches(':').count() > 1 => return Ok(whole()),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("a host is missing".to_owned());
    }
    let port = port.map_or(Ok(443), |port| port.parse().map_err(|_| format!("\"{port}\" is no port")))?;
    Ok(Address { host: host.to_owned(), port })
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    for file in [args.output.as_ref(), args.chain.as_ref()].into_iter().flatten() {
        file.refuse_existing(args.force)?;
    }
    let roots = args.system_roots.iter().map(super::read_certificates).collect::<anyhow::Result<Vec<_>>>()?.concat();
    let bundle = args.bundle.as_ref().map(|file| file.read()).transpose()?;
    let bundle = bundle.as_deref().map(CrtBundle::parse).transpose().context("--bundle")?;
    let name = args.name.as_deref().unwrap_or(&args.server.host);
    let presented = handshake::presented(&args.server.host, args.server.port, name, Duration::from_secs(args.timeout))?;
    let (certificates, mut warnings) = read(&presented);
    if certificates.is_empty() {
        anyhow::bail!("the server presented no certificate that can be read: {}", warnings.join("; "));
    }
    let question = Question { at: cotter_factory::pki::now()?, purpose: Some(Purpose::Server), host: Some(name) };
    let chain = Chain::find(&certificates, &roots, &question).context("no certificate")?;
    let (anchor, mut next) = anchor(&chain, &certificates, &mut warnings);
    let bundled = bundle.map(|bundle| in_bundle(&bundle, &chain));
    let mut saved = None;
    if let (Some(file), Some(anchor)) = (&args.output, &anchor) {
        file.write_new(super::encoding(file, &anchor.to_pem(), anchor.as_der()), Visibility::Public, args.force)?;
        saved = Some(file.to_string());
        next = None;
    }
    if let Some(file) = &args.chain {
        let pem: String = certificates.iter().map(Certificate::to_pem).collect();
        file.write_new(pem.as_bytes(), Visibility::Public, args.force)?;
    }
    let sound = chain.is_sound();
    let wanted = args.output.is_none() || saved.is_some();
    let trusted = bundled.as_ref().is_none_or(|bundled| bundled.is_some());
    let report = Fetched {
        server: format!("{}:{}", args.server.host, args.server.port),
        protocol: presented.protocol,
        chain: Report::of(&chain, !roots.is_empty()),
        anchor: anchor.as_ref().map(Shown::of),
        in_bundle: bundled.as_ref().map(Option::is_some),
        saved,
        warnings,
        next,
    };
    // The certificate has stdout for itself.
    if args.output != Some(File::Standard) && args.chain != Some(File::Standard) {
        output::value(&report, format)?;
    }
    Ok(sound && wanted && trusted)
}

/// What can be read of what was presented, and what cannot.
fn read(presented: &Presented) -> (Vec<Certificate>, Vec<String>) {
    let (mut certificates, mut warnings) = (Vec::new(), Vec::new());
    if let Some(ended) = &presented.ended {
        warnings.push(format!(
            "the handshake did not end well, so that nothing proves that the server has the key: {ended}"
        ));
    }
    let most = presented.certificates.len().min(MOST_CERTIFICATES);
    for (index, der) in presented.certificates[..most].iter().enumerate() {
        let read: Result<Certificate, CertificateError> = Certificate::from_der(der);
        match read {
            Ok(certificate) => certificates.push(certificate),
            Err(refused) if index == 0 => return (Vec::new(), vec![format!("certificate 1: {refused}")]),
            Err(refused) => warnings.push(format!("certificate {} is left out: {refused}", index + 1)),
        }
    }
    if most < presented.certificates.len() {
        let sent = presented.certificates.len();
        warnings.push(format!("the server sent {sent} certificates; only the first {most} are looked at"));
    }
    (certificates, warnings)
}

/// The certificate that a device should trust, or what to do to get it.
fn anchor(
    chain: &Chain,
    presented: &[Certificate],
    warnings: &mut Vec<String>,
) -> (Option<Certificate>, Option<String>) {
    let last = &chain.links[chain.links.len() - 1].certificate;
    if !chain.is_sound() {
        let next = "no anchor is chosen for a chain with a broken link".to_owned();
        return (None, Some(next));
    }
    match chain.end {
        End::Untrusted | End::Trusted if chain.links.len() == 1 => {
            warnings.push(
                "the server's certificate is signed by itself: a device that trusts it must be updated before it is renewed"
                    .to_owned(),
            );
            (Some(last.clone()), Some(SAVE.to_owned()))
        }
        End::Untrusted => {
            warnings.push(
                "the root came from the server itself: compare its SHA-256 with what its owner publishes".to_owned(),
            );
            (Some(last.clone()), Some(SAVE.to_owned()))
        }
        End::Trusted => (Some(last.clone()), Some(SAVE.to_owned())),
        End::Incomplete | End::Endless => {
            let what = if presented.len() == 1 { "only its own certificate" } else { "no root" };
            warnings.push(format!(
                "the server sent {what}: the last certificate, {}, is no trust anchor and may be replaced at any time",
                last.subject()
            ));
            let urls = last.issuer_urls().unwrap_or_default();
            let next = match urls.first() {
                Some(url) => format!(
                    "the missing certificate of {} is at {url}; or name roots to look in with --system-roots FILE",
                    last.issuer()
                ),
                None => format!("find the certificate of {}, or name roots with --system-roots FILE", last.issuer()),
            };
            (None, Some(next))
        }
    }
}

/// The link of the chain whose signature a root in the bundle verifies, as `esp_crt_verify_callback` does.
fn in_bundle(bundle: &CrtBundle<'_>, chain: &Chain) -> Option<String> {
    chain.links.iter().map(|link| &link.certificate).find_map(|certificate| {
        let root = bundle.find(certificate.issuer().as_der())?;
        let algorithm = certificate.signature_algorithm();
        algorithm.verify(root.key, certificate.signed(), certificate.signature()).ok()?;
        Some(certificate.issuer().to_string())
    })
}

const SAVE: &str = "save it with -o FILE";
/// rustls already refuses more than 64 KiB of certificates; this bounds the work on them.
const MOST_CERTIFICATES: usize = 20;

#[derive(Serialize)]
struct Fetched {
    server: String,
    protocol: Option<String>,
    chain: Report,
    anchor: Option<Shown>,
    in_bundle: Option<bool>,
    saved: Option<String>,
    warnings: Vec<String>,
    next: Option<String>,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.as_deref().unwrap_or("handshake not finished");
        writeln!(f, "{} ({protocol})", self.server)?;
        writeln!(f, "{}", self.chain)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        match self.in_bundle {
            Some(true) => writeln!(f, "the bundle holds the root of this chain")?,
            Some(false) => writeln!(f, "the bundle does not hold the root of this chain")?,
            None => {}
        }
        match &self.anchor {
            Some(anchor) => write!(f, "trust anchor: {anchor}")?,
            None => f.write_str("trust anchor: none")?,
        }
        if let Some(file) = &self.saved {
            write!(f, "\n{file}: the trust anchor")?;
        }
        match &self.next {
            Some(next) => write!(f, "\nnext: {next}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_or_get_443() {
        let of = |host: &str, port| Ok(Address { host: host.to_owned(), port });
        assert_eq!(address("example.com"), of("example.com", 443));
        assert_eq!(address("example.com:8883"), of("example.com", 8883));
        assert_eq!(address("[2001:db8::1]:8443"), of("2001:db8::1", 8443));
        assert_eq!(address("[2001:db8::1]"), of("2001:db8::1", 443));
        assert_eq!(address("2001:db8::1"), of("2001:db8::1", 443));
        for bad in [":443", "host:", "host:65536", "[::1", "[::1]443"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
