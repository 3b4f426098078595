//! `cotter fleet tag`: words on devices, to roll out to them first, or not at all.

use crate::output::{self, Format};
use crate::remote::{Body, Remote};
use cotter_server::rollout::tag::Tag;
use cotter_wire::api;
use cotter_wire::ids::DeviceId;
use hyper::Method;
use serde::Serialize;
use std::fmt;

/// Put tags on devices and take them off. At most 16 on one device.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Put a tag on devices.
    ///
    /// Example: cotter fleet tag add beta solar-0001 solar-0002
    Add(Which),
    /// Take a tag off devices.
    ///
    /// Example: cotter fleet tag remove beta solar-0001
    Remove(Which),
}

/// A tag, and devices.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The tag: 1 to 32 lower-case letters, digits and . _ -
    tag: Tag,
    /// The devices.
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<DeviceId>,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let (method, done, Which { tag, devices }) = match verb {
        Verb::Add(which) => (Method::PUT, "on", which),
        Verb::Remove(which) => (Method::DELETE, "off", which),
    };
    for device in devices {
        server.ask(method.clone(), &format!("{}/{device}/tags/{tag}", api::ADMIN_DEVICES), Body::None)?;
    }
    output::value(&Tagged { tag: tag.clone(), done, devices: devices.len() }, format)?;
    Ok(true)
}

#[derive(Serialize)]
struct Tagged {
    tag: Tag,
    done: &'static str,
    devices: usize,
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.devices == 1 { "" } else { "s" };
        write!(f, "{} is {} {} device{plural}", self.tag, self.done, self.devices)
    }
}
