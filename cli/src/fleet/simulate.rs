//! `cotter fleet simulate`: virtual devices that a server takes for real ones.

use crate::file::File;
use crate::key::{Password, read_private_key};
use crate::output::{self, Format, Help};
use crate::remote::{Body, Server};
use anyhow::Context;
use cotter_chip::board::VirtualChip;
use cotter_device::telemetry::Delivery;
use cotter_factory::identity::{Identity, Product};
use cotter_factory::layout::{Content, Layout};
use cotter_factory::pki::ProductCa;
use cotter_factory::public_key::PublicKey;
use cotter_formats::chip::Chip;
use cotter_formats::image::Image;
use cotter_server::key_file;
use cotter_twin::firmware::{FirmwareError, Following, Renewing, UpdateEnd};
use cotter_twin::twin::{Twin, TwinError};
use cotter_wire::api;
use cotter_wire::ids::{DeviceId, Nonce};
use cotter_wire::keys::EnrolmentKey;
use hyper::Method;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Let virtual devices live against a server: each boots, sends a reading and takes the update that it is offered.
///
/// Each device is a virtual ESP32-C3 with the device code as it ships; its chip is kept in the folder, so that the next
/// call finds it as this one left it. It follows new keys too, its firmware's and its own. Devices that are not there yet are made and enrolled first: that takes --app and what
/// stands behind it. They are developer's boards, without a burned eFuse.
///
/// Example: cotter fleet simulate --folder sim --devices 5 --app app-1.0.0.bin --boot boot.bin --ca-key ca.key.pem \
///     --enrolment-key enrolment.key --manifest-key manifest.pem
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the chips are kept.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// So many devices; those that are missing are made.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    devices: u32,
    /// What their names begin with.
    #[arg(long, default_value = "virtual-")]
    prefix: String,
    #[command(flatten)]
    birth: Birth,
}

/// For devices that are made.
#[derive(clap::Args)]
#[command(next_help_heading = "Making devices")]
struct Birth {
    /// The application that they begin with.
    #[arg(long, value_name = "FILE", requires_all = ["boot", "ca_key", "enrolment_key", "manifest_keys"])]
    app: Option<File>,
    /// The second stage of the bootloader.
    #[arg(long, value_name = "FILE")]
    boot: Option<File>,
    /// The private key of the CA (--ca), which issues their certificates.
    #[arg(long, value_name = "PEM")]
    ca_key: Option<File>,
    #[command(flatten)]
    password: Password,
    /// What their records are sealed with for the server.
    #[arg(long, value_name = "FILE")]
    enrolment_key: Option<PathBuf>,
    /// A public key that they trust to sign releases; repeat for more.
    #[arg(long = "manifest-key", value_name = "PEM")]
    manifest_keys: Vec<File>,
    /// How many of these must sign.
    #[arg(long, value_name = "N", default_value = "1")]
    manifest_required: u32,
}

pub(super) fn run(args: &Args, server: &Server, format: Format) -> anyhow::Result<bool> {
    std::fs::create_dir_all(&args.folder).with_context(|| args.folder.display().to_string())?;
    let (host, address) = server.endpoint()?;
    let names = (1..=args.devices).map(|number| format!("{}{number:04}", args.prefix).parse::<DeviceId>());
    let names = names.collect::<Result<Vec<_>, _>>().context("--prefix")?;
    let missing: Vec<DeviceId> =
        names.iter().copied().filter(|name| !args.folder.join(name.as_str()).exists()).collect();
    if !missing.is_empty() {
        args.birth.give(&missing, &args.folder, server)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut round = Round { devices: Vec::new() };
    for name in &names {
        let folder = args.folder.join(name.as_str());
        let board = VirtualChip::load(CHIP, &folder).with_context(|| folder.display().to_string())?;
        let twin = Twin::new(board, &host, address);
        let lived = runtime.block_on(live(*name, &twin));
        twin.board().save(&folder)?;
        round.devices.push(lived.with_context(|| name.to_string())?);
    }
    output::value(&round, format)?;
    Ok(true)
}

/// One day of a device.
async fn live(name: DeviceId, twin: &Twin) -> anyhow::Result<Lived> {
    let mut day = None;
    for _ in 0..MOST_RESETS {
        let lived = twin
            .live(async |firmware| {
                // A statement about the keys of its firmware counts from the next reset on.
                if let Following::Followed(_) = firmware.follow().await? {
                    return Ok(None);
                }
                // A new root key is confirmed after a reset.
                if firmware.renew_key().await? == Renewing::Offered {
                    return Ok(None);
                }
                let reading = firmware.upload().await?.delivery == Delivery::Stored;
                let end = firmware.update().await?;
                let said = firmware.refusal().map(|refusal| refusal.as_str().to_owned());
                let said = said.or_else(|| firmware.trouble().map(ToString::to_string));
                Ok(Some((firmware.promise().version, reading, end, said)))
            })
            .await;
        let life = match lived {
            // The server was restored from a backup, perhaps: the next life begins with that.
            Err(TwinError::Firmware(FirmwareError::Unknown)) => continue,
            lived => lived?,
        };
        day = life.outcome.context("nothing boots")?;
        if day.is_some() {
            break;
        }
    }
    let (version, reading, end, said) =
        day.context("it gets new keys again and again, or the server does not know it by those that it has")?;
    let mut lived =
        Lived { device: name.to_string(), ran: version.to_string(), reading, runs: version.to_string(), said };
    if end == UpdateEnd::Reboot {
        let trial = twin.live(async |firmware| Ok((firmware.promise().version, firmware.refusal().copied()))).await?;
        let (version, refusal) = trial.outcome.context("nothing boots")?;
        lived.runs = version.to_string();
        lived.said = refusal.map(|refusal| refusal.as_str().to_owned());
        if lived.said.is_none() && trial.boots.len() > 1 {
            lived.said = Some("rolled back".to_owned());
        }
    }
    Ok(lived)
}

impl Birth {
    /// Makes devices and has the server take them in.
    fn give(&self, names: &[DeviceId], folder: &Path, server: &Server) -> anyhow::Result<()> {
        let (Some(app), Some(boot), Some(ca_key), Some(enrolment_key)) =
            (&self.app, &self.boot, &self.ca_key, &self.enrolment_key)
        else {
            return Err(anyhow::anyhow!("{} devices are to be made", names.len()))
                .context(Help("--app, --boot, --ca-key, --enrolment-key and --manifest-key say how"));
        };
        let certificate = server.ca()?;
        let ca = ProductCa::load(&certificate, read_private_key(ca_key, &self.password)?)?;
        let (app, boot) = (app.read()?, boot.read()?);
        let label = Image::parse(&app, CHIP).context("--app")?;
        let project = label.app_descriptor().context("--app has no descriptor")?.project_name().to_owned();
        let keys = self.manifest_keys.iter().map(|file| {
            let key = PublicKey::from_pem(&file.read()?).with_context(|| file.to_string())?;
            Ok(key.to_spki()?)
        });
        let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
        let product = Product {
            project: &project,
            firmware_keys: &keys,
            firmware_required: self.manifest_required,
            trust_anchor: ca.certificate_der(),
            nonce_floor: Nonce(0),
        };
        let enrolment_key = EnrolmentKey::new(key_file::read(enrolment_key)?);
        let layout = Layout::two_slots(CHIP)?;
        let partition = layout.table.find("nvs").context("the table has no nvs")?;
        let mut remote = server.open()?;
        for name in names {
            let identity = Identity::create(*name, &ca)?;
            let nvs = identity.nvs_partition(partition, &product)?;
            let content = Content { boot: &boot, app: &app, nvs: &nvs, nvs_keys: &identity.nvs_keys_partition() };
            let mac = mac(*name);
            let chip = VirtualChip::new(CHIP, mac)?;
            let line = chip.power_on_in_download_mode().map_err(|refused| anyhow::anyhow!("{}", refused.as_str()))?;
            for piece in layout.pieces(&content, None)? {
                line.write_flash(piece.at, &piece.bytes)?;
            }
            drop(line);
            let record = identity.enrolment(CHIP, mac, [0; 32], &enrolment_key)?;
            remote.ask(Method::POST, api::ADMIN_DEVICES, Body::Json(record)).with_context(|| name.to_string())?;
            // If this fails, the server knows a device that is not there; the name is then lost.
            let place = folder.join(name.as_str());
            std::fs::create_dir(&place)?;
            chip.save(&place)?;
        }
        Ok(())
    }
}

/// Locally administered, by the last digits of the name.
fn mac(name: DeviceId) -> [u8; 6] {
    let digits = name.as_str().bytes().filter(u8::is_ascii_digit);
    let number = digits.fold(0_u32, |number, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0xc0, a, b, c, d]
}

/// For the new keys of one day, its firmware's and its own.
const MOST_RESETS: usize = 100;

/// What the device code in the twin is compiled for.
const CHIP: Chip = Chip::Esp32C3;

#[derive(Serialize)]
struct Round {
    devices: Vec<Lived>,
}

#[derive(Serialize)]
struct Lived {
    device: String,
    /// The version that was running.
    ran: String,
    /// Whether its reading was stored.
    reading: bool,
    /// The version that runs now.
    runs: String,
    /// What it refused, or what was wrong.
    said: Option<String>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["device", "reading", "ran", "runs now", "said"]);
        for Lived { device, ran, reading, runs, said } in &self.devices {
            let reading = if *reading { "stored" } else { "refused" };
            table.add_row([device, reading, ran, runs, said.as_deref().unwrap_or("")]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}
