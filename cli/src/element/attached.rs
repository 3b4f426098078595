//! A secure element that lives as long as the chip it is soldered to: `--secure-element FILE[@ADDR]`.

use super::{describe, load_or_make};
use crate::line::listen;
use crate::output;
use cotter_chip::atecc::Model;
use cotter_twin::element_port::{Clock, ElementPort};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A file, and where its bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    file: PathBuf,
    address: SocketAddr,
}

impl FromStr for Attachment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, address) = match text.rsplit_once('@') {
            Some((file, address)) => {
                let address = address.parse().map_err(|_| format!("{address} is no address like 127.0.0.1:6080"))?;
                (file, address)
            }
            None => (text, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        };
        if file.is_empty() {
            Err("expected FILE or FILE@ADDR".to_owned())
        } else {
            Ok(Self { file: file.into(), address })
        }
    }
}

/// The part while it is alive.
pub(crate) struct Attached {
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    /// For people: which part, where.
    pub(crate) description: String,
}

impl Attached {
    /// Makes the part if the file is not there, and keeps it alive until this is dropped.
    pub(crate) fn start(attachment: &Attachment) -> anyhow::Result<Self> {
        let part = load_or_make(&attachment.file, Model::Atecc608A, None)?;
        let described = describe(&part);
        let port = listen(attachment.address)?;
        let mut port = ElementPort::new(port, part, attachment.file.clone(), Clock::Real)?;
        let address = port.port().address().map(|address| address.to_string()).unwrap_or_default();
        let description = format!("{} on socket://{address}: {described}", attachment.file.display());
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let server = std::thread::Builder::new().name("secure element".to_owned()).spawn(move || {
            if let Err(error) = port.serve(&told) {
                output::warning(format_args!("the secure element has ended: {error}"));
            }
        })?;
        Ok(Self { stop, server: Some(server), description })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            // It has told its own errors.
            let _ended = server.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_is_a_file_and_maybe_an_address() {
        let parse = |text: &str| text.parse::<Attachment>().map(|it| (it.file, it.address.to_string()));
        assert_eq!(parse("se.bin"), Ok(("se.bin".into(), "127.0.0.1:0".to_owned())));
        assert_eq!(parse("a@b/se.bin@127.0.0.1:6080"), Ok(("a@b/se.bin".into(), "127.0.0.1:6080".to_owned())));
        assert!(parse("se.bin@nowhere").is_err() && parse("@127.0.0.1:1").is_err() && parse("").is_err());
    }
}
