//! The device in the field: it boots, reports, updates.

use super::admin::Admin;
use super::report::Stage;
use super::stage::Running;
use super::workshop::{APP_1_1_0, CHIP, NONCE_FLOOR, Workshop};
use crate::output::Format;
use anyhow::Context;
use cotter_chip::fault::{CutPoint, Phase};
use cotter_chip::report::{BootReport, RefusalCode};
use cotter_device::ota::Refusal;
use cotter_device::telemetry::Delivery;
use cotter_factory::release::Release;
use cotter_formats::efuse::{esp32c3, unary};
use cotter_twin::firmware::UpdateEnd;
use cotter_twin::twin::Twin;
use cotter_wire::ids::UnixTime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a release of the demo is valid.
pub(crate) const RELEASE_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// Boots the newborn device and sends three readings through every layer.
pub(crate) async fn telemetry(
    twin: &Twin,
    workshop: &Workshop,
    admin: &mut Admin,
    format: Format,
) -> anyhow::Result<Stage> {
    let mut stage = Running::start("Telemetry", format);
    admin.enrol(workshop.enrolment(&workshop.device)?).await?;
    admin.enrol(workshop.enrolment(&workshop.neighbour)?).await?;
    stage.done("devices enrolled", format!("{}, {}", workshop.device.device, workshop.neighbour.device));
    let life = twin
        .live(async |firmware| {
            let mut uploads = Vec::new();
            for _ in 0..3 {
                uploads.push(firmware.upload().await?);
            }
            Ok(uploads)
        })
        .await?;
    boot_lines(&mut stage, life.last_boot());
    let uploads = life.outcome.context("the device did not boot")?;
    for (index, upload) in (1..).zip(&uploads) {
        let expected = NONCE_FLOOR.0 + index;
        let ok = upload.delivery == Delivery::Stored && upload.nonce.0 == expected && upload.status == 200;
        let seen = format!("nonce {}, {} bytes, HTTP {}", upload.nonce, upload.packet.len(), upload.status);
        stage.check(format!("reading {index} sealed, sent, acknowledged"), seen, ok);
    }
    let stored = admin.readings(&workshop.device.device).await?;
    let nonces: Vec<u64> = stored.iter().filter_map(|reading| reading["nonce"].as_u64()).collect();
    let registers = stored.first().and_then(|reading| reading["values"].as_array()).map_or(0, Vec::len);
    let ok = nonces.len() == uploads.len() && registers == 10;
    stage.check("the server's database has them", format!("nonces {nonces:?}, {registers} registers each"), ok);
    Ok(stage.end())
}

/// Brings the device from 1.0.0 to 1.1.0, through a power cut in the middle of the download.
pub(crate) async fn update(
    twin: &Twin,
    workshop: &Workshop,
    admin: &mut Admin,
    format: Format,
) -> anyhow::Result<Stage> {
    let mut stage = Running::start("Update", format);
    let release = workshop.release(APP_1_1_0)?;
    let chunks = cotter_wire::content::chunk_count(release.manifest.encrypted_size());
    stage.done("release content key, AES-256", "drawn for this release, wrapped for each device by the server");
    admin.release(&release).await?;
    stage.done(
        "release 1.1.0 uploaded, checked, offered",
        format!("{} bytes in {chunks} chunks of 2 KB, 2 signatures", release.image.len()),
    );

    // In the middle of a page program, about half way through the download.
    let fault = twin.board().fault().clone();
    let cut = twin
        .live(async |firmware| {
            fault.restart_count();
            fault.cut_at(CutPoint { op: 300, phase: Phase::Torn });
            let outcome = firmware.update().await.map_err(|error| error.to_string());
            Ok((firmware.chunks(), outcome))
        })
        .await?;
    let (first, outcome) = cut.outcome.context("the device did not boot")?;
    let seen = format!("after {first} of {chunks} chunks: {}", outcome.as_ref().err().map_or("no cut", String::as_str));
    stage.check("power cut during the download", seen, twin.board().fault().is_lost() && outcome.is_err());

    let resumed = twin.live(async |firmware| Ok((firmware.update().await?, firmware.chunks()))).await?;
    let (end, second) = resumed.outcome.context("the device did not boot")?;
    let old = version(resumed.last_boot()).unwrap_or("nothing");
    stage.check("power is back: the old version boots", old, old == "1.0.0");
    stage.check("download resumes", format!("{second} chunks instead of {chunks}"), second < chunks);
    stage.check("SHA-256 and signatures hold, slot marked, reset", format!("{end:?}"), end == UpdateEnd::Reboot);

    let trial = twin.live(async |firmware| Ok((firmware.promise().version, firmware.refusal().copied()))).await?;
    boot_lines(&mut stage, trial.last_boot());
    let (running, refusal) = trial.outcome.context("the device did not boot")?;
    stage.check(
        "self-test passed, slot confirmed",
        format!("running {running}"),
        running.to_string() == "1.1.0" && refusal.is_none(),
    );
    let history = admin.history(&workshop.device.device).await?;
    let reported = history.first().map(|row| format!("{} {}", row["version"], row["result"])).unwrap_or_default();
    stage.check("the server knows", &reported, reported.contains("1.1.0") && reported.contains("installed"));

    let next = twin.live(async |firmware| firmware.update().await).await?;
    let burned = unary::count(twin.board().efuses().image()?.value(&esp32c3::SECURE_VERSION));
    stage.check("next boot burns the anti-rollback eFuse", format!("SECURE_VERSION counts {burned}"), burned == 1);
    let end = next.outcome.context("the device did not boot")?;
    stage.check("nothing newer: the device sleeps", format!("{end:?}"), end == UpdateEnd::Sleeping);
    Ok(stage.end())
}

impl Workshop {
    /// The record that the factory sends to the server.
    pub(crate) fn enrolment(&self, identity: &cotter_factory::identity::Identity) -> anyhow::Result<Vec<u8>> {
        let key = self.enrolment_key.as_ref().context("the server was not initialised")?;
        Ok(identity.enrolment(CHIP, super::workshop::DEVICE_MAC, self.secure_boot_digest, key)?)
    }

    /// Signs an application and its manifest as the product's release engineers would.
    pub(crate) fn release(&self, app: &[u8]) -> anyhow::Result<Release> {
        let signed = self.secure_boot.sign(app)?;
        Ok(Release::prepare(signed, CHIP, &[&self.manifest_rsa, &self.manifest_p256], now(), RELEASE_LIFE)?)
    }
}

/// Now, in Unix time.
pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The lines of a boot that a person looks for.
fn boot_lines(stage: &mut Running, boot: &BootReport) {
    for line in &boot.lines {
        if ["ESP-ROM", "secure boot", "Loaded", "entry"].iter().any(|word| line.contains(word)) {
            stage.done("uart", line);
        }
    }
    let verified = boot.booted().is_some_and(|app| app.is_verified);
    let seen = match (boot.booted(), boot.refusal()) {
        (Some(app), _) => {
            format!("{} {} from {}, signature verified: {verified}", app.project_name, app.version, app.slot)
        }
        (None, code) => code.map_or("nothing", RefusalCode::as_str).to_owned(),
    };
    stage.check("ROM and second stage", seen, verified);
}

fn version(boot: &BootReport) -> Option<&str> {
    boot.booted().map(|app| app.version.as_str())
}

/// The stable name of what the updater refused.
pub(crate) fn code(refusal: Option<&Refusal>) -> String {
    refusal.map_or_else(|| "nothing refused".to_owned(), |refusal| refusal.as_str().to_owned())
}
