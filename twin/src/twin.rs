//! A whole virtual device: power it on, and it boots through ROM and second stage into the real device code.

use crate::firmware::{Firmware, FirmwareError, Start, UpdateEnd};
use crate::keys;
use crate::net::{Client, NetError};
use cotter_chip::board::VirtualChip;
use cotter_chip::report::BootReport;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// A device on your desk.
#[derive(Debug)]
pub struct Twin {
    board: VirtualChip,
    host: String,
    server: SocketAddr,
    /// Whether the server did not know it by its keys: the next life begins with that. RTC memory, on a real device.
    unknown: AtomicBool,
}

/// One life, from power-on until the closure returned: every boot in it, in order.
#[derive(Debug)]
pub struct Life<R> {
    /// Boot reports; more than one if the firmware asked for a reset before it was ready (a rollback).
    pub boots: Vec<BootReport>,
    /// What the closure returned; `None` if nothing booted.
    pub outcome: Option<R>,
}

impl<R> Life<R> {
    /// The last boot.
    #[must_use]
    pub fn last_boot(&self) -> &BootReport {
        self.boots.last().expect("a life begins with a boot")
    }
}

/// How often a device may reset itself before it is ready; more is a boot loop.
const MAX_BOOTS: usize = 8;

impl Twin {
    /// A device that reports to `server`, which must prove to be `host`.
    #[must_use]
    pub fn new(board: VirtualChip, host: &str, server: SocketAddr) -> Self {
        Self { board, host: host.to_owned(), server, unknown: AtomicBool::new(false) }
    }

    /// The hardware.
    #[must_use]
    pub const fn board(&self) -> &VirtualChip {
        &self.board
    }

    /// Powers on; once the firmware is up (a new one judged itself, an old one reported), runs `live` in it. After
    /// [`FirmwareError::Unknown`] the next life begins with what a device does then: it confirms its key again, or recovers.
    ///
    /// # Errors
    /// [`TwinError`]: what booted could not start, or went on resetting itself.
    pub async fn live<R>(
        &self,
        live: impl AsyncFnOnce(&mut Firmware<'_>) -> Result<R, FirmwareError>,
    ) -> Result<Life<R>, TwinError> {
        let mut boots = Vec::new();
        while boots.len() < MAX_BOOTS {
            let report = self.board.power_on();
            let booted = report.booted().cloned();
            boots.push(report);
            let Some(booted) = booted else { return Ok(Life { boots, outcome: None }) };
            let start = Start::read(&self.board, &booted)?;
            let mut client = Client::new(&start.trust_anchor, &self.host, self.server)?;
            let mut start = keys::confirm_pending(start, &mut client).await?;
            if self.unknown.swap(false, Ordering::Relaxed) {
                start = keys::reconcile(start, &mut client).await?;
            }
            let mut firmware = Firmware::start(&self.board, &mut start, &mut client)?;
            let lived = match firmware.after_boot().await {
                Ok(UpdateEnd::Reboot) => continue,
                Ok(UpdateEnd::Sleeping) => live(&mut firmware).await,
                Err(error) => Err(error),
            };
            self.unknown.store(matches!(lived, Err(FirmwareError::Unknown)), Ordering::Relaxed);
            return Ok(Life { boots, outcome: Some(lived?) });
        }
        Err(TwinError::BootLoop { boots: boots.len() })
    }
}

/// Why a device does not live.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// The firmware could not start, or stopped.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The trust anchor in NVS is unusable.
    #[error(transparent)]
    Net(#[from] NetError),
    /// It resets itself again and again.
    #[error("the device reset itself {boots} times and never got ready")]
    BootLoop {
        /// How often.
        boots: usize,
    },
}
