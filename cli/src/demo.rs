//! `cotter demo`: whole stories on virtual hardware and a real server process: a device's life from keys to attacks, and a
//! secure element that proves who a device is.

mod admin;
mod attacks;
mod field;
mod hands;
mod report;
mod secure_element;
mod server_process;
mod stage;
mod workshop;

use crate::output::{self, Format};
use admin::Admin;
use anyhow::Context;
use attacks::Scene;
use cotter_factory::output::{Visibility, write_whole};
use cotter_formats::secret::Secret;
use cotter_server::init::{InitOptions, init};
use cotter_server::key_file;
use cotter_twin::twin::Twin;
use cotter_wire::keys::EnrolmentKey;
use report::Report;
use server_process::ServerProcess;
use std::path::{Path, PathBuf};
use std::time::Instant;
use workshop::{HOST, NONCE_FLOOR, PROJECT, Workshop};

/// Take a real ESP32-C3 image through a device's whole life: signed, encrypted, rehearsed, booted, updated, attacked.
///
/// Everything runs on this machine: a virtual chip with the ROM's own verdicts, the device code that ships in flash,
/// and a server process on loopback. The exit code is 1 if anything did not end as expected.
///
/// Examples:
///
///   cotter demo --keep /tmp/cotter-demo
///
///   cotter demo --story secure-element
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which story.
    #[arg(long, value_enum, default_value = "life")]
    story: Story,
    /// Keep keys, images, database and logs in this folder (which must not exist yet, or be empty).
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Story {
    /// A device's life: keys, images, birth, telemetry, an update, and what attackers try
    Life,
    /// A host MCU with an ATECC608A, behind an encrypted AT link, signs its way into the MQTT bridge
    SecureElement,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let started = Instant::now();
    let temporary = tempfile::Builder::new().prefix("cotter-demo-").tempdir()?;
    let folder = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            if std::fs::read_dir(folder)?.next().is_some() {
                return Err(anyhow::anyhow!("{} is not empty", folder.display()))
                    .context(output::Help("name a new folder with --keep"));
            }
            folder.as_path()
        }
        None => temporary.path(),
    };
    let mut report = match args.story {
        Story::Life => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(line(folder, format))?
        }
        Story::SecureElement => secure_element::tell(folder, format)?,
    };
    report.kept = args.keep.clone();
    report.seconds = started.elapsed().as_secs_f64();
    output::value(&report, format)?;
    Ok(report.passed)
}

/// The line itself.
async fn line(folder: &Path, format: Format) -> anyhow::Result<Report> {
    let [keys, images, device, server, logs] =
        ["keys", "images", "device", "server", "logs"].map(|name| folder.join(name));
    for folder in [&keys, &images, &device, &server, &logs] {
        std::fs::create_dir_all(folder)?;
    }
    let mut stages = Vec::new();
    let (mut workshop, stage) = Workshop::make_keys(&keys, format)?;
    stages.push(stage);
    let (plan, stage) = workshop.make_images(&images, format)?;
    stages.push(stage);
    let (chip, stage) = workshop.birth(plan, &logs, format)?;
    stages.push(stage);

    let made = initialise(&workshop, &server)?;
    let enrolment_key = key_file::read(&made.enrolment_key)?;
    workshop.enrolment_key =
        Some(EnrolmentKey::new(Secret::filled_by(|key| key.copy_from_slice(enrolment_key.expose()))));
    let process = ServerProcess::start(&made.config, logs.join("server.log"))?;
    let token = made.admin_token.reveal();
    let mut admin = Admin::new(workshop.ca.certificate_der(), HOST, process.address(), token)?;
    let twin = Twin::new(chip, HOST, process.address());

    stages.push(field::telemetry(&twin, &workshop, &mut admin, format).await?);
    stages.push(field::update(&twin, &workshop, &mut admin, format).await?);
    let mut scene = Scene { twin: &twin, workshop: &workshop, admin: &mut admin, server: &process, format };
    let attacks = attacks::all(&mut scene).await?;
    twin.board().save(&device)?;
    let passed = stages.iter().all(report::Stage::passed) && attacks.iter().all(|attack| attack.stopped);
    Ok(Report { stages, attacks, kept: None, seconds: 0.0, passed })
}

/// Makes the server's folder: configuration, key files, certificate, and the public keys that it believes.
fn initialise(workshop: &Workshop, folder: &Path) -> anyhow::Result<cotter_server::init::Initialised> {
    let manifest_keys = ["manifest-rsa.pub.pem", "manifest-p256.pub.pem"];
    let made = init(
        folder,
        &InitOptions {
            listen: "127.0.0.1:0".parse()?,
            admin: "demo".parse()?,
            project: PROJECT.to_owned(),
            manifest_keys: manifest_keys.map(str::to_owned).to_vec(),
            manifest_required: 2,
            secure_boot_digests: vec![workshop.secure_boot_digest],
        },
    )?;
    // As an operator would who knows what the factory writes: no packet below its floor is genuine.
    let mut config = std::fs::read_to_string(&made.config)?;
    config.push_str(&format!("\n[ingest]\nnonce_floor = {NONCE_FLOOR}\n"));
    write_whole(&made.config, config.as_bytes(), Visibility::Secret)?;
    for (name, key) in manifest_keys.iter().zip([&workshop.manifest_rsa, &workshop.manifest_p256]) {
        write_whole(&folder.join(name), key.public_pem()?.as_bytes(), Visibility::Public)?;
    }
    let certificate = &workshop.server_certificate;
    write_whole(&folder.join("server.pem"), certificate.certificate_pem.as_bytes(), Visibility::Public)?;
    write_whole(&folder.join("server.key"), certificate.key_pem.as_bytes(), Visibility::Secret)?;
    Ok(made)
}
