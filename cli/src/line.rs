//! Where something that is kept alive can be reached, `--listen` or `--pty`, and what it is told on standard input.

use crate::output::Help;
use crate::signals::on_quit;
use anyhow::Context;
use cotter_twin::serial_port::SerialPort;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

/// One of the two.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Line {
    /// Listen on a TCP address; tools call it `socket://ADDR`. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Open a pseudo-terminal and make this a link to it.
    #[arg(long, value_name = "LINK")]
    pty: Option<PathBuf>,
}

impl Line {
    /// Opens it; with the name that tools know it by.
    pub(crate) fn open(&self) -> anyhow::Result<(SerialPort, String)> {
        match (&self.listen, &self.pty) {
            (Some(address), _) => {
                let port = listen(*address)?;
                let address = port.address().unwrap_or(*address);
                Ok((port, format!("socket://{address}")))
            }
            (_, Some(link)) => {
                let port = SerialPort::terminal(link)
                    .with_context(|| format!("cannot make {} a pseudo-terminal", link.display()))
                    .context(Help("name a link that does not exist yet, in a directory that does"))?;
                Ok((port, link.display().to_string()))
            }
            (None, None) => anyhow::bail!("neither --listen nor --pty"),
        }
    }
}

/// A port on a TCP address.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<SerialPort> {
    SerialPort::listen(address)
        .with_context(|| format!("cannot listen on {address}"))
        .context(Help("another program may have that port: choose another, or 0 for a free one"))
}

/// Lines of standard input as commands, and the signals that mean `quit`. The end of standard input means nothing: what
/// runs in the background lives on.
pub(crate) fn commands<C: Send + 'static>(parse: fn(&str) -> Option<C>, quit: C) -> anyhow::Result<Receiver<C>> {
    let (sender, receiver) = channel();
    let signals = sender.clone();
    on_quit(move || {
        // The receiver is gone only at the end, when there is nothing left to quit.
        let _told = signals.send(quit);
    })?;
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for command in lines.filter_map(|line| parse(&line)) {
            if sender.send(command).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
