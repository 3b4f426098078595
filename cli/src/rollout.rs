//! `cotter rollout`: a release reaches the fleet in stages.

pub(crate) mod shown;
mod stage;

use crate::output::{self, Format, Help};
use crate::release::find;
use crate::remote::{Body, Remote, RemoteError, Server, or_help};
use cotter_formats::chip::Chip;
use cotter_server::rollout::tag::Tag;
use cotter_wire::ids::DeviceId;
use cotter_wire::version::Version;
use serde::Deserialize;
use shown::{Changed, Devices, Rollout, Rollouts};
use stage::Stage;

/// Bring a release to the fleet in stages that go on, stop or end by themselves.
///
/// A rollout is one accepted release and its stages. Each stage has some devices, a threshold of success that begins the
/// next one, and a threshold of failure that stops the rollout. Pausing and aborting stop downloads that are under way,
/// too. Needs a server, its CA and a token (COTTER_SERVER, COTTER_CA, COTTER_TOKEN_FILE).
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Stop for good: nobody is offered it any more.
    ///
    /// Example: cotter rollout abort 3
    Abort(One),
    /// Begin the next stage without waiting for the threshold.
    ///
    /// Example: cotter rollout advance 3
    Advance(One),
    Create(Create),
    /// List rollouts, newest first.
    List,
    /// Stop for a while.
    ///
    /// Example: cotter rollout pause 3
    Pause(One),
    /// Go on where it stopped.
    ///
    /// Example: cotter rollout resume 3
    Resume(One),
    Retry(Retry),
    Show(Show),
    /// Begin the first stage.
    ///
    /// Example: cotter rollout start 3
    Start(One),
}

/// Plan a rollout of an accepted release. It is offered to nobody before it is started.
///
/// A stage is a share of the fleet or a tag, with its rules behind it: 5%  or  tag:beta  or
/// 5%,success=95,failure=5,reports=10,abort. The next stage begins when `success` percent of the devices that have
/// reported run it (default 95); the rollout is paused, or aborted, when `failure` percent have failed or come back to an
/// older version (default 5); nothing is decided before `reports` devices have reported (default 1). Which devices a share
/// has is fixed for each rollout: a larger one has all of a smaller one.
///
/// Example: cotter rollout create 1.1.0 --stage tag:beta --stage 5%,reports=20 --stage 100% --running-from 1.0.0
#[derive(clap::Args)]
struct Create {
    /// The release: its id (the first digits are enough), or its version.
    release: String,
    /// A stage; repeat for more, in their order.
    #[arg(long = "stage", value_name = "STAGE", required = true)]
    stages: Vec<Stage>,
    /// Only for devices that run this version or a newer one.
    #[arg(long, value_name = "VERSION")]
    running_from: Option<Version>,
    /// Only for devices that run this version or an older one.
    #[arg(long, value_name = "VERSION")]
    running_to: Option<Version>,
    /// Only for devices whose anti-rollback counter has reached this.
    #[arg(long, value_name = "N")]
    secure_version: Option<u32>,
    /// The chip that you believe the release to be for: refused if it is for another.
    #[arg(long, value_parser = crate::image::chip)]
    chip: Option<Chip>,
    /// Only for devices with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,
    /// Not for devices with this tag.
    #[arg(long, value_name = "TAG")]
    without_tag: Option<Tag>,
    /// How often a device may fail before it counts as failed and is not offered it again; 0 for any number.
    #[arg(long, value_name = "N", default_value = "3")]
    attempts: u32,
    /// Start it at once.
    #[arg(long)]
    start: bool,
}

/// A rollout.
#[derive(clap::Args)]
struct One {
    /// Its number.
    rollout: u32,
}

/// Offer it again to devices that have failed or come back to an older version.
///
/// What a device has given up by itself, it refuses again: sign and upload a new release for that.
///
/// Example: cotter rollout retry 3 --device solar-0001
#[derive(clap::Args)]
struct Retry {
    /// The rollout's number.
    rollout: u32,
    /// To this device only.
    #[arg(long)]
    device: Option<DeviceId>,
}

/// Show how far a rollout is.
///
/// Example: cotter rollout show 3 --devices
#[derive(clap::Args)]
struct Show {
    /// Its number.
    rollout: u32,
    /// Each device that was offered it.
    #[arg(long)]
    devices: bool,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let mut server = args.server.open()?;
    match &args.verb {
        Verb::Abort(one) => act(one.rollout, "abort", &mut server, format),
        Verb::Advance(one) => act(one.rollout, "advance", &mut server, format),
        Verb::Create(args) => create(args, &mut server, format),
        Verb::List => list(&mut server, format),
        Verb::Pause(one) => act(one.rollout, "pause", &mut server, format),
        Verb::Resume(one) => act(one.rollout, "resume", &mut server, format),
        Verb::Retry(args) => retry(args, &mut server, format),
        Verb::Show(args) => show(args, &mut server, format),
        Verb::Start(one) => act(one.rollout, "start", &mut server, format),
    }
}

fn create(args: &Create, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let release = find(server, &args.release)?;
    let version = |version: Option<Version>| version.map(|version| version.to_string());
    let plan = serde_json::json!({
        "stages": args.stages.iter().map(Stage::json).collect::<Vec<_>>(),
        "conditions": {
            "running_from": version(args.running_from),
            "running_to": version(args.running_to),
            "secure_version": args.secure_version,
            "chip": args.chip.map(Chip::name),
            "tag": args.tag.as_ref(),
            "without_tag": args.without_tag.as_ref(),
        },
        "attempts": args.attempts,
    });
    let body = Body::json(&serde_json::json!({ "release": release.to_string(), "plan": plan }))?;
    let made: Made = server.post(ROLLOUTS, body)?;
    if args.start {
        return act(made.rollout, "start", server, format);
    }
    show(&Show { rollout: made.rollout, devices: false }, server, format)
}

fn act(rollout: u32, act: &str, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let answer = server.post::<Changed>(&format!("{ROLLOUTS}/{rollout}/{act}"), Body::None);
    let changed = answer.map_err(|error| match RemoteError::reason(&error) {
        Some("rollout-state") => error.context(Help("`cotter rollout show` tells where it stands")),
        _ => error,
    })?;
    output::value(&changed, format)?;
    Ok(true)
}

fn retry(args: &Retry, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let which = args.device.map(|device| format!("?device={device}")).unwrap_or_default();
    let retried: shown::Retried = server.post(&format!("{ROLLOUTS}/{}/retry{which}", args.rollout), Body::None)?;
    output::value(&retried, format)?;
    Ok(true)
}

fn list(server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let mut rollouts = Vec::new();
    let mut path = ROLLOUTS.to_owned();
    loop {
        let page: Page = server.get(&path)?;
        rollouts.extend(page.rollouts);
        let Some(next) = page.next else { break };
        path = format!("{ROLLOUTS}?before={next}");
    }
    output::value(&Rollouts { rollouts }, format)?;
    Ok(true)
}

fn show(args: &Show, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let path = format!("{ROLLOUTS}/{}", args.rollout);
    let rollout = server.get::<Rollout>(&path);
    let mut rollout = rollout.map_err(|error| or_help(error, "`cotter rollout list` tells which there are"))?;
    if args.devices {
        let (mut devices, mut after) = (Vec::new(), String::new());
        loop {
            let page: DevicePage = server.get(&format!("{path}/devices{after}"))?;
            devices.extend(page.devices);
            let Some(next) = page.next else { break };
            after = format!("?after={next}");
        }
        rollout.devices = Some(Devices(devices));
    }
    output::value(&rollout, format)?;
    Ok(true)
}

/// Where they are.
const ROLLOUTS: &str = "/admin/v1/rollouts";

#[derive(Deserialize)]
struct Made {
    rollout: u32,
}

#[derive(Deserialize)]
struct Page {
    rollouts: Vec<Rollout>,
    next: Option<u32>,
}

#[derive(Deserialize)]
struct DevicePage {
    devices: Vec<shown::Offer>,
    next: Option<String>,
}
