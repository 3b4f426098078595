//! `cotter fleet alerts` and `cotter fleet keys`: what somebody on call asks.

use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Remote, plain};
use cotter_server::alerts::Alert;
use cotter_server::key_age::Ages;
use serde::{Deserialize, Serialize};
use std::fmt;

/// False if there is any.
pub(super) fn alerts(server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let alerts: Alerts = server.get("/admin/v1/alerts")?;
    output::value(&alerts, format)?;
    Ok(alerts.alerts.is_empty())
}

/// False if any is due.
pub(super) fn keys(server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let ages: Keys = server.get("/admin/v1/keys")?;
    output::value(&ages, format)?;
    Ok(ages.0.devices_due == 0 && ages.0.keys.iter().all(|key| !key.due))
}

#[derive(Deserialize, Serialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

impl fmt::Display for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.alerts.is_empty() {
            return write!(f, "no alerts");
        }
        let mut lines = self.alerts.iter().map(|alert| {
            let Alert { alert, subject, since, events, detail, .. } = alert;
            format!(
                "{} {} since {}, {events} events, the last: {}",
                plain(alert),
                plain(subject),
                Moment(*since),
                plain(detail)
            )
        });
        write!(f, "{}", lines.by_ref().collect::<Vec<_>>().join("\n"))
    }
}

#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Keys(Ages);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.0.keys {
            let due = if key.due { ", due for rotation" } else { "" };
            writeln!(f, "{}: in use since {} ({} days){due}", plain(&key.key), Moment(key.since), key.days)?;
        }
        write!(f, "devices with keys older than {} days: {}", self.0.due_after_days, self.0.devices_due)
    }
}
