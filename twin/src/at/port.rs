//! The host's end of a serial line: a real port or a pseudo-terminal, read and written without waiting.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, ioctl_tiocexcl, isatty, tcflush, tcgetattr, tcsetattr,
};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An open line: 8 data bits, no parity, one stop bit, nothing translated.
#[derive(Debug)]
pub struct Port {
    file: File,
    name: PathBuf,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// In bits per second.
    pub baud: u32,
    /// With or without RTS and CTS.
    pub flow: FlowControl,
}

/// Who may stop the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowControl {
    /// Nobody.
    #[default]
    None,
    /// The receiver, by RTS and CTS.
    Hardware,
}

/// Why a port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It cannot be opened.
    #[error("serial port {}: cannot be opened", name.display())]
    Open {
        /// The port.
        name: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a file or a device of another kind.
    #[error("serial port {}: it is no serial line", name.display())]
    NoLine {
        /// The port.
        name: PathBuf,
    },
    /// It cannot be set up.
    #[error("serial port {}: {baud} baud cannot be set", name.display())]
    Setting {
        /// The port.
        name: PathBuf,
        /// What was asked for.
        baud: u32,
        /// What the system says.
        source: io::Error,
    },
    /// It broke while it was in use.
    #[error("serial port {}: cannot be used", name.display())]
    Broken {
        /// The port.
        name: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The other end of a pseudo-terminal was closed, or an adapter was pulled out.
    #[error("serial port {}: it is gone", name.display())]
    Gone {
        /// The port.
        name: PathBuf,
    },
}

impl Port {
    /// Opens a port for this process alone, and forgets what was received before. DTR and RTS go on, as they do in
    /// pyserial, which lets an Espressif development board run.
    ///
    /// # Errors
    /// [`PortError`]
    pub fn open(name: &Path, speed: Speed) -> Result<Self, PortError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = rustix::fs::open(name, flags, Mode::empty());
        let file = File::from(open.map_err(|source| PortError::Open { name: name.to_owned(), source: source.into() })?);
        if !isatty(&file) {
            return Err(PortError::NoLine { name: name.to_owned() });
        }
        let set = || -> rustix::io::Result<()> {
            ioctl_tiocexcl(&file)?;
            let mut mode = tcgetattr(&file)?;
            mode.make_raw();
            mode.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
            mode.control_modes.remove(ControlModes::CSTOPB | ControlModes::PARENB);
            mode.control_modes.set(ControlModes::CRTSCTS, speed.flow == FlowControl::Hardware);
            mode.set_speed(speed.baud)?;
            tcsetattr(&file, OptionalActions::Now, &mode)?;
            tcflush(&file, QueueSelector::IFlush)
        };
        set().map_err(|source| PortError::Setting {
            name: name.to_owned(),
            baud: speed.baud,
            source: source.into(),
        })?;
        Ok(Self { file, name: name.to_owned() })
    }

    /// As it was opened.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// What has come; nothing is no error.
    ///
    /// # Errors
    /// [`PortError::Broken`], [`PortError::Gone`]
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        match self.file.read(buffer) {
            Ok(count) if count > 0 => Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Ok(_) => Err(PortError::Gone { name: self.name.clone() }),
            // How Linux says that the other end of a pseudo-terminal, or an adapter, went away.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Err(PortError::Gone { name: self.name.clone() })
            }
            Err(source) => Err(PortError::Broken { name: self.name.clone(), source }),
        }
    }

    /// Writes what goes without waiting, and says how much that was.
    ///
    /// # Errors
    /// [`PortError::Broken`], [`PortError::Gone`]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        match self.file.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                Err(PortError::Gone { name: self.name.clone() })
            }
            Err(source) => Err(PortError::Broken { name: self.name.clone(), source }),
        }
    }
}

/// Waits until one of the ports has bytes, at most so long; with `room`, also until the first can take bytes.
///
/// # Errors
/// What the system says.
pub fn wait<'a>(ports: impl IntoIterator<Item = &'a Port>, room: bool, timeout: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout).map_err(|_| ErrorKind::InvalidInput)?;
    let mut ends: Vec<PollFd<'_>> = ports
        .into_iter()
        .enumerate()
        .map(|(index, port)| {
            let flags = if room && index == 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(port.file.as_fd(), flags)
        })
        .collect();
    match poll(&mut ends, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}
