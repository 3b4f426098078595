//! Rollouts and their devices as they are shown.

use crate::moment::Moment;
use crate::output;
use crate::remote::plain;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A list.
#[derive(Serialize)]
pub(super) struct Rollouts {
    pub(super) rollouts: Vec<Rollout>,
}

/// One, as the server tells it.
#[derive(Serialize, Deserialize)]
pub(super) struct Rollout {
    rollout: u32,
    release: String,
    version: String,
    state: String,
    stage: usize,
    reason: String,
    created_at: Moment,
    changed_at: Moment,
    attempts: u32,
    conditions: serde_json::Map<String, serde_json::Value>,
    stages: Vec<Stage>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) devices: Option<Devices>,
}

#[derive(Serialize, Deserialize)]
struct Stage {
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    success: u8,
    failure: u8,
    on_failure: String,
    reports: u32,
    offered: u32,
    installed: u32,
    failed: u32,
}

/// The devices of a rollout.
#[derive(Serialize)]
pub(super) struct Devices(pub(super) Vec<Offer>);

/// What a device was offered, and what came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Offer {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    device: String,
    rollout: u32,
    release: String,
    version: String,
    stage: usize,
    step: String,
    progress: u64,
    size: u64,
    failures: u32,
    reason: String,
    offered_at: Moment,
    changed_at: Moment,
}

/// What became of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Changed {
    rollout: u32,
    state: String,
}

/// Who is offered it again.
#[derive(Serialize, Deserialize)]
pub(super) struct Retried {
    rollout: u32,
    devices: u64,
}

impl Stage {
    fn group(&self) -> String {
        match (&self.percent, &self.tag) {
            (Some(percent), _) => format!("{percent}%"),
            (None, tag) => format!("tag:{}", plain(tag.as_deref().unwrap_or("?"))),
        }
    }
}

impl Offer {
    /// `downloading 40 %`, `failed 2 times: image-hash`.
    pub(crate) fn said(&self) -> String {
        let mut text = plain(&self.step);
        if text == "downloading" {
            text = format!("{text} {} %", self.progress * 100 / self.size.max(1));
        }
        if self.failures > 0 {
            let times = if self.failures == 1 { "once".to_owned() } else { format!("{} times", self.failures) };
            text = format!("{text}, failed {times}");
        }
        if !self.reason.is_empty() {
            text = format!("{text}: {}", plain(&self.reason));
        }
        text
    }

    /// Rows of a table: rollout, version, when, what.
    pub(crate) fn row(&self) -> [String; 4] {
        [self.rollout.to_string(), plain(&self.version), self.changed_at.to_string(), self.said()]
    }
}

impl fmt::Display for Rollouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rollouts.is_empty() {
            return f.write_str("no rollouts");
        }
        let mut table = output::table(["rollout", "version", "state", "stage", "installed", "failed", "changed"]);
        for rollout in &self.rollouts {
            let sum = |of: fn(&Stage) -> u32| rollout.stages.iter().map(of).map(u64::from).sum::<u64>();
            table.add_row([
                rollout.rollout.to_string(),
                plain(&rollout.version),
                plain(&rollout.state),
                format!("{} of {}", rollout.stage, rollout.stages.len()),
                format!("{} of {}", sum(|stage| stage.installed), sum(|stage| stage.offered)),
                sum(|stage| stage.failed).to_string(),
                rollout.changed_at.to_string(),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rollout, version, state, stage, reason, conditions, stages, .. } = self;
        write!(f, "rollout {rollout} of {}: {}, stage {stage} of {}", plain(version), plain(state), stages.len())?;
        if !reason.is_empty() {
            write!(f, " ({})", plain(reason))?;
        }
        for (name, value) in conditions {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            write!(f, "\nonly if {} {}", plain(name), plain(&value))?;
        }
        let mut table =
            output::table(["stage", "devices", "goes on at", "stops at", "after", "offered", "installed", "failed"]);
        for (number, stage) in (1..).zip(stages) {
            // What never decides has no thresholds to show.
            let decides = stage.reports < u32::MAX;
            let rule = |text: String| if decides { text } else { "-".to_owned() };
            table.add_row([
                number.to_string(),
                stage.group(),
                rule(format!("{} %", stage.success)),
                rule(format!("{} %, {}", stage.failure, plain(&stage.on_failure))),
                rule(format!("{} reports", stage.reports)),
                stage.offered.to_string(),
                stage.installed.to_string(),
                stage.failed.to_string(),
            ]);
        }
        write!(f, "\n{}", table.trim_fmt())?;
        if let Some(Devices(devices)) = &self.devices {
            let mut table = output::table(["device", "stage", "changed", "how far"]);
            for device in devices {
                let [_, _, changed, said] = device.row();
                table.add_row([plain(&device.device), device.stage.to_string(), changed, said]);
            }
            write!(f, "\n{}", table.trim_fmt())?;
        }
        Ok(())
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rollout {} is {}", self.rollout, plain(&self.state))
    }
}

impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rollout {}: offered again to {} devices", self.rollout, self.devices)
    }
}
