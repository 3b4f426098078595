//! What TLS connections are made with: AT+CIPSSLC..., and the certificates of the manufacturing partition.

use super::super::arguments::Arguments;
use super::super::dial::Carrier;
use super::super::refusal::Refusal;
use super::super::tls::Trust;
use super::entry::Entry;
use super::{Module, Outcome, Reply, quoted};
use std::time::Instant;
use zeroize::Zeroizing;

pub(super) const COMMANDS: &[Entry] = &[
    Entry::new("+CIPSSLCCONF").query(query_configuration).set(configure),
    Entry::new("+CIPSSLCCN").query(query_name).set(set_name),
    Entry::new("+CIPSSLCSNI").query(query_sni).set(set_sni),
    Entry::new("+CIPSSLCALPN").query(query_alpn).set(set_alpn),
    Entry::new("+CIPSSLCPSK").query(|module, _| module.tell_keys(false)).set(set_key),
    Entry::new("+CIPSSLCPSKHEX").query(|module, _| module.tell_keys(true)).set(set_hexadecimal_key),
];

/// How one connection is to be made.
#[derive(Clone, Default)]
pub(super) struct Secure {
    shows_certificate: bool,
    verifies: bool,
    own: u8,
    ca: u8,
    /// The name that the server's certificate has to have.
    name: Option<String>,
    sni: Option<String>,
    alpn: Vec<String>,
    /// A key that both ends have, and what it is called. The original's manual calls the key the identity.
    psk: Option<(Zeroizing<Vec<u8>>, String)>,
}

fn query_configuration(module: &mut Module, _: Instant) -> Outcome {
    module.tell_each(|id, secure| {
        let mode = u8::from(secure.shows_certificate) | u8::from(secure.verifies) << 1;
        format!("+CIPSSLCCONF:{id},{mode},{},{}", secure.own, secure.ca)
    })
}

fn configure(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let mode: u8 = arguments.count(1..=3)?.required(0, 0..=3)?;
    let (own, ca) = (arguments.or(1, 0..=1, 0)?, arguments.or(2, 0..=1, 0)?);
    module.set_each(ids, |secure| {
        (secure.shows_certificate, secure.verifies) = (mode & 1 != 0, mode & 2 != 0);
        (secure.own, secure.ca) = (own, ca);
    })
}

fn query_name(module: &mut Module, _: Instant) -> Outcome {
    module.tell_each(|id, secure| format!("+CIPSSLCCN:{id},{}", quoted(secure.name.as_deref().unwrap_or_default())))
}

fn set_name(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let name = arguments.count(1..=1)?.required_text(0, 64)?.to_owned();
    module.set_each(ids, |secure| secure.name = Some(name.clone()).filter(|name| !name.is_empty()))
}

fn query_sni(module: &mut Module, _: Instant) -> Outcome {
    module.tell_each(|id, secure| format!("+CIPSSLCSNI:{id},{}", quoted(secure.sni.as_deref().unwrap_or_default())))
}

fn set_sni(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let sni = arguments.count(1..=1)?.required_text(0, 64)?.to_owned();
    module.set_each(ids, |secure| secure.sni = Some(sni.clone()).filter(|sni| !sni.is_empty()))
}

fn query_alpn(module: &mut Module, _: Instant) -> Outcome {
    module.tell_each(|id, secure| {
        let names: String = secure.alpn.iter().map(|name| format!(",{}", quoted(name))).collect();
        format!("+CIPSSLCALPN:{id}{names}")
    })
}

fn set_alpn(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let names = alpn(arguments)?;
    module.set_each(ids, |secure| secure.alpn.clone_from(&names))
}

fn set_key(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let key = arguments.count(2..=2)?.required_text(0, LONGEST_KEY)?.as_bytes().to_vec();
    module.set_psk(ids, key, arguments)
}

fn set_hexadecimal_key(module: &mut Module, arguments: Arguments<'_>, _: Instant) -> Outcome {
    let (ids, arguments) = module.links_argument(arguments)?;
    let digits = arguments.count(2..=2)?.required_text(0, 2 * LONGEST_KEY)?;
    let pairs = digits.as_bytes().chunks(2);
    let key = pairs.map(|pair| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    let key: Option<Vec<u8>> = key.collect();
    let key = key.filter(|key| 2 * key.len() == digits.len() && !digits.contains('+'));
    module.set_psk(ids, key.ok_or(Refusal::Invalid(arguments.place(0)))?, arguments)
}

const LONGEST_KEY: usize = 32;

/// A count, and so many names.
pub(super) fn alpn(arguments: Arguments<'_>) -> Result<Vec<String>, Refusal> {
    let count: usize = arguments.required(0, 0..=5)?;
    let arguments = arguments.count(count + 1..=count + 1)?;
    (1..=count).map(|index| arguments.required_text(index, 255).map(str::to_owned)).collect()
}

impl Module {
    fn tell_each(&mut self, line: impl Fn(usize, &Secure) -> String) -> Outcome {
        let shown = if self.links.is_multiple { self.links.secure.len() } else { 1 };
        let lines: Vec<String> =
            self.links.secure.iter().take(shown).enumerate().map(|(id, secure)| line(id, secure)).collect();
        lines.iter().for_each(|line| self.say(line));
        Ok(Reply::Done)
    }

    fn set_each(&mut self, ids: std::ops::Range<usize>, mut set: impl FnMut(&mut Secure)) -> Outcome {
        self.links.secure.get_mut(ids).unwrap_or_default().iter_mut().for_each(&mut set);
        Ok(Reply::Done)
    }

    /// The key in the arguments' first place, what it is called in the second. An empty one is none.
    fn set_psk(&mut self, ids: std::ops::Range<usize>, key: Vec<u8>, arguments: Arguments<'_>) -> Outcome {
        let name = arguments.required_text(1, LONGEST_KEY)?.to_owned();
        let psk = (!key.is_empty()).then(|| (Zeroizing::new(key), name));
        self.set_each(ids, |secure| secure.psk.clone_from(&psk))
    }

    fn tell_keys(&mut self, in_digits: bool) -> Outcome {
        let command = if in_digits { "+CIPSSLCPSKHEX" } else { "+CIPSSLCPSK" };
        self.tell_each(|id, secure| {
            let (key, name) = secure.psk.as_ref().map_or((&[][..], ""), |(key, name)| (key, name));
            let key = match in_digits {
                true => key.iter().map(|byte| format!("{byte:02x}")).collect(),
                false => String::from_utf8_lossy(key).into_owned(),
            };
            format!("{command}:{id},{},{}", quoted(&key), quoted(name))
        })
    }

    pub(super) fn secure_carrier(&mut self, id: usize) -> Result<Carrier, Refusal> {
        let secure = self.links.secure.get(id).cloned().unwrap_or_default();
        // As in ESP-TLS: an authority goes before a key.
        if let Some((key, name)) = secure.psk.filter(|_| !secure.verifies) {
            return self.psk_carrier(key, name);
        }
        let own = secure.shows_certificate.then(|| {
            let number = secure.own;
            ["client_cert", "client_key"].map(|name| (name, format!("{name}.{number}")))
        });
        let ca = secure.verifies.then(|| ("client_ca", format!("client_ca.{}", secure.ca)));
        let alpn = secure.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        let name = secure.sni.clone().or(secure.name.clone());
        self.carrier(own, ca, alpn, name)
    }

    #[cfg(feature = "link-tls")]
    fn psk_carrier(&mut self, key: Zeroizing<Vec<u8>>, identity: String) -> Result<Carrier, Refusal> {
        use super::super::line::tls::{Role, TlsSettings, Trust, Versions};
        match TlsSettings::new(Role::Client, Versions::Any, Trust::Psk { identity, key }) {
            Ok(settings) => Ok(Carrier::Psk(std::sync::Arc::new(settings))),
            Err(error) => {
                self.note(error);
                Err(Refusal::Failed)
            }
        }
    }

    #[cfg(not(feature = "link-tls"))]
    fn psk_carrier(&mut self, _: Zeroizing<Vec<u8>>, _: String) -> Result<Carrier, Refusal> {
        self.note(
            "TLS with a pre-shared key is not in this build of the virtual module: it needs the feature link-tls",
        );
        Err(Refusal::Failed)
    }

    /// A carrier with what the manufacturing partition has under these names.
    pub(super) fn carrier(
        &mut self,
        own: Option<[(&str, String); 2]>,
        ca: Option<(&str, String)>,
        alpn: Vec<Vec<u8>>,
        name: Option<String>,
    ) -> Result<Carrier, Refusal> {
        let ca = match ca {
            None => None,
            Some((namespace, key)) => Some(self.found(namespace, &key, "NO CA FOUND")?),
        };
        let own = match own {
            None => None,
            Some([(certificates, certificate), (keys, key)]) => {
                let certificate = self.found(certificates, &certificate, "NO CERT FOUND")?;
                Some((certificate, self.found(keys, &key, "NO PRVT_KEY FOUND")?))
            }
        };
        let trust = Trust { ca, own, alpn };
        match trust.config(&self.clock) {
            Ok(config) => Ok(Carrier::Tls(config, name)),
            Err(error) => {
                self.note(error);
                Err(Refusal::Failed)
            }
        }
    }

    fn found(&mut self, namespace: &str, key: &str, otherwise: &str) -> Result<Vec<u8>, Refusal> {
        let found = self.flash.blob(namespace, key);
        if found.is_none() {
            self.say(otherwise);
        }
        found.ok_or(Refusal::Failed)
    }
}
