//! `cotter release upload, list, show, publish`: what a server has to offer.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format, Help};
use crate::remote::{Body, Remote, RemoteError, plain};
use anyhow::Context;
use cotter_wire::api;
use cotter_wire::ids::ReleaseId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bring a release to the server, which checks everything and offers it to nobody yet.
///
/// Refused unless enough trusted keys signed the manifest, the manifest agrees with the image, the image carries the
/// signature of a known Secure Boot key, and nothing newer is published. Exit status 1 and the exact reason then.
///
/// Example: cotter release upload app.release
#[derive(clap::Args)]
pub(super) struct Upload {
    /// What `cotter release sign` wrote, `-` for stdin.
    file: File,
}

/// Show one release.
///
/// Example: cotter release show 1.1.0
#[derive(clap::Args)]
pub(super) struct Show {
    /// Its id (the first digits are enough), or its version.
    release: String,
}

/// Offer a release to every device at once. For a few first, see `cotter rollout`.
///
/// Example: cotter release publish 1.1.0
#[derive(clap::Args)]
pub(super) struct Publish {
    /// Its id (the first digits are enough), or its version.
    release: String,
}

pub(super) fn upload(args: &Upload, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let body = Body::Octets(args.file.read()?);
    let uploaded: Uploaded =
        server.post(api::ADMIN_RELEASES, body).map_err(|error| match RemoteError::reason(&error) {
            Some("manifest-untrusted" | "manifest-unsigned") => {
                error.context(Help("`cotter release sign` takes --key once for each signature that the server wants"))
            }
            Some("image-unsigned") => error.context(Help("`cotter image sign` comes before `cotter release sign`")),
            _ => error,
        })?;
    output::value(&uploaded, format)?;
    Ok(true)
}

pub(super) fn list(server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    output::value(&all(server)?, format)?;
    Ok(true)
}

pub(super) fn show(args: &Show, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let release = find(server, &args.release)?;
    let release: OneRelease = server.get(&format!("{}/{release}", api::ADMIN_RELEASES))?;
    output::value(&release, format)?;
    Ok(true)
}

pub(super) fn publish(args: &Publish, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    let release = find(server, &args.release)?;
    let published: Published =
        server.post(&api::ADMIN_PUBLISH.replace("{release}", &release.to_string()), Body::None)?;
    output::value(&published, format)?;
    Ok(true)
}

fn all(server: &mut Remote) -> anyhow::Result<Releases> {
    server.get(api::ADMIN_RELEASES)
}

/// The release that somebody means by its id, the beginning of it, or its version.
pub(crate) fn find(server: &mut Remote, meant: &str) -> anyhow::Result<ReleaseId> {
    if let Ok(id) = meant.parse::<ReleaseId>() {
        return Ok(id);
    }
    let releases = all(server)?.releases;
    let is_meant = |release: &&Release| {
        release.version == meant || (meant.len() >= FEWEST_DIGITS && release.release.starts_with(meant))
    };
    let mut found = releases.iter().filter(is_meant);
    let help = || Help("`cotter release list` tells which there are; the id names exactly one");
    match (found.next(), found.next()) {
        (Some(release), None) => release.release.parse().context("the server names a release by no id"),
        (None, _) => Err(anyhow::anyhow!("no release {meant}")).with_context(help),
        (Some(_), Some(_)) => Err(anyhow::anyhow!("{meant} is more than one release")).with_context(help),
    }
}

/// Of an id.
const FEWEST_DIGITS: usize = 6;

#[derive(Serialize, Deserialize)]
struct Uploaded {
    release: String,
    version: String,
}

#[derive(Serialize, Deserialize)]
struct Published {
    release: String,
}

#[derive(Serialize, Deserialize)]
struct Releases {
    releases: Vec<Release>,
}

#[derive(Serialize, Deserialize)]
struct Release {
    release: String,
    project: String,
    chip: String,
    version: String,
    secure_version: u32,
    expires: Moment,
    encrypted_size: u32,
    published_at: Option<Moment>,
}

/// With what it does to the anti-rollback budget of its chip.
#[derive(Serialize, Deserialize)]
struct OneRelease {
    #[serde(flatten)]
    release: Release,
    secure_version_steps: u32,
    secure_version_uses: u32,
    secure_version_left: u32,
}

impl Release {
    fn published(&self) -> String {
        self.published_at.map_or_else(|| "no".to_owned(), |at| at.to_string())
    }

    /// Enough of the id for a person.
    fn short(&self) -> String {
        plain(&self.release).chars().take(12).collect()
    }
}

impl fmt::Display for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {}, version {}: accepted, offered to nobody yet", plain(&self.release), plain(&self.version))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} is offered to every device", plain(&self.release))
    }
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.releases.is_empty() {
            return f.write_str("no releases");
        }
        let mut table = output::table(["release", "project", "chip", "version", "secure", "expires", "published"]);
        for release in &self.releases {
            table.add_row([
                release.short(),
                plain(&release.project),
                plain(&release.chip),
                plain(&release.version),
                release.secure_version.to_string(),
                release.expires.to_string(),
                release.published(),
            ]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for OneRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release: of, secure_version_steps: steps, secure_version_uses: uses, secure_version_left: left } =
            self;
        let Release { release, project, chip, version, secure_version, expires, encrypted_size, .. } = of;
        writeln!(f, "{} {} for {}, {encrypted_size} bytes encrypted", plain(project), plain(version), plain(chip))?;
        writeln!(f, "release {}", plain(release))?;
        write!(f, "secure_version {secure_version} of the {steps} that the chip's eFuses can count")?;
        match uses {
            0 => writeln!(f, ": burns none, {left} left")?,
            uses => writeln!(f, ": burns {uses}, for good; {left} left")?,
        }
        write!(f, "valid until {expires}; published: {}", of.published())
    }
}
