//! `cotter release sign`: an image, its manifest and its content key in one file, ready for any server.

use crate::file::File;
use crate::image::{chip, chip_or_of};
use crate::moment::Moment;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::release::Release;
use cotter_factory::signing::ManifestKey;
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_server::firmware::upload::Upload;
use cotter_wire::content::ContentKey;
use cotter_wire::ids::UnixTime;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Sign the manifest of a signed image, offline, and write one file to upload.
///
/// Project, version and secure_version come from the image's descriptor. The image must carry its Secure Boot signature
/// already (`cotter image sign`). The file holds the content key: it is secret until the release is public.
///
/// Example: cotter release sign app-signed.bin --key manifest-rsa.pem --key manifest-p256.pem --days 30 -o app.release
#[derive(clap::Args)]
pub(super) struct Args {
    /// The signed image.
    image: File,
    /// A private key that signs the manifest (PEM: RSA-2048 or P-256); repeat for more.
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    /// The chip, if the image does not name it.
    #[arg(long, value_parser = chip)]
    chip: Option<Chip>,
    /// For how many days devices may take it.
    #[arg(long, default_value = "30", value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// The release to write, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    let image = args.image.read()?;
    let chip = chip_or_of(args.chip, &image)?;
    let keys = args.keys.iter().map(|path| {
        let help = || Help("`cotter key generate firmware-p256` makes one");
        ManifestKey::load(path).with_context(|| path.display().to_string()).with_context(help)
    });
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let keys: Vec<&ManifestKey> = keys.iter().collect();
    let life = Duration::from_secs(args.days * 86_400);
    let release = Release::prepare(image, chip, &keys, UnixTime(Moment::now().0), life)?;
    let content_key = Secret::filled_by(|key| key.copy_from_slice(release.content_key.expose()));
    let content_key = ContentKey::new(content_key);
    let body = Upload { envelope: &release.envelope, content_key, image: &release.image }.to_body();
    args.output.write_new(&body, Visibility::Secret, args.force)?;
    if args.output != File::Standard {
        let manifest = &release.manifest;
        let signed = Signed {
            release: release.id.to_string(),
            project: manifest.project.as_str().to_owned(),
            chip: manifest.chip.name(),
            version: manifest.version.to_string(),
            secure_version: manifest.secure_version.0,
            expires: Moment(manifest.expires.0),
            signatures: keys.len(),
            file: args.output.to_string(),
        };
        output::value(&signed, format)?;
    }
    Ok(true)
}

#[derive(Serialize)]
struct Signed {
    release: String,
    project: String,
    chip: &'static str,
    version: String,
    secure_version: u32,
    expires: Moment,
    signatures: usize,
    file: String,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, project, chip, version, secure_version, expires, signatures, file } = self;
        let plural = if *signatures == 1 { "" } else { "s" };
        writeln!(f, "{file}: {project} {version} for {chip}, secure_version {secure_version}")?;
        write!(f, "release {release}, {signatures} signature{plural}, valid until {expires}")
    }
}
