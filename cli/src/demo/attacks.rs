//! The attacks: each is tried for real, and must be stopped by the layer that is meant to stop it.

mod packets;
mod releases;
mod silicon;

use super::admin::Admin;
use super::report::{Attack, GREEN, RED};
use super::server_process::ServerProcess;
use super::workshop::Workshop;
use crate::output::{self, Format};
use cotter_twin::twin::Twin;

/// What the attackers work on.
pub(crate) struct Scene<'a> {
    pub(crate) twin: &'a Twin,
    pub(crate) workshop: &'a Workshop,
    pub(crate) admin: &'a mut Admin,
    pub(crate) server: &'a ServerProcess,
    pub(crate) format: Format,
}

/// Tries all of them, in order.
pub(crate) async fn all(scene: &mut Scene<'_>) -> anyhow::Result<Vec<Attack>> {
    output::progress(format!("\n{}Attacks{:#}", super::report::BOLD, super::report::BOLD), scene.format);
    let mut attacks = Vec::new();
    packets::all(scene, &mut attacks).await?;
    releases::all(scene, &mut attacks).await?;
    silicon::all(scene, &mut attacks)?;
    Ok(attacks)
}

/// An attack before it is tried.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) tried: &'static str,
    pub(super) layer: &'static str,
    pub(super) expected: &'static str,
}

impl Attempt {
    /// Holds what was seen against what was expected. `harmless`: nothing else gave way.
    pub(super) fn saw(
        self,
        refusal: impl Into<String>,
        detail: impl Into<String>,
        harmless: bool,
        format: Format,
    ) -> Attack {
        let Self { name, tried, layer, expected } = self;
        let (refusal, detail) = (refusal.into(), detail.into());
        let stopped = harmless && refusal == expected;
        let style = if stopped { GREEN } else { RED };
        let mark = if stopped { "stopped" } else { "FAILED " };
        output::progress(format!("  {style}{mark}{style:#} {name:<42} {layer:<28} {refusal}"), format);
        Attack { name, tried: tried.to_owned(), layer, expected, refusal, detail, stopped }
    }
}
