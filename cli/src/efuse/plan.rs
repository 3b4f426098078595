//! `cotter efuse plan`: every bit and key that a policy burns, in the safe order, each with its meaning.

use super::source::Options;
use crate::file::File;
use crate::output::{self, Format, Help};
use anyhow::Context;
use cotter_factory::efuse::{
    Burn, Curve, DownloadMode, EfusePlan, EfusePolicy, FlashEncryptionMode, JtagMode, NvsMode, OrderFinding,
    ProductProfile, SecureBootMode, SigningScheme, Wishes, build, command_file, commands, order_findings,
};
use cotter_factory::output::Visibility;
use cotter_formats::chip::Chip;
use cotter_formats::efuse::EfuseImage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Plan what to burn: every bit and key in the safe order, what it does for ever, and what stays open.
///
/// The profile says how far to go; each option changes one thing. With --efuse the plan starts from a chip that was
/// burned before, skips what is done, and refuses what is no longer possible. Nothing is burned, and no key is read: the
/// plan names the keys, and `--as apply` expects them in files of those names.
///
/// Exit status 1 if the plan is refused, or if its own lint finds it dangerous.
///
/// Examples:
///
///   cotter efuse plan --chip esp32c3 --profile release -o plan.json
///
///   cotter efuse plan --chip esp32s3 --digests 2 --key-size 256 --nvs hmac --ds 1 --anti-rollback 3
///
///   cotter efuse plan --policy product.toml --efuse chip.bin --as apply -o plan.txt
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Options,
    /// A policy in TOML, with the names of these options as keys; options on the command line win.
    #[arg(long, value_name = "FILE")]
    policy: Option<File>,
    /// What is burned already: an eFuse file [default: a blank chip].
    #[arg(long, value_name = "FILE")]
    efuse: Option<File>,
    /// development or release [default: release].
    #[arg(long, value_parser = named::<ProductProfile>)]
    profile: Option<ProductProfile>,
    /// off, v1 (ESP32 only) or v2.
    #[arg(long, value_parser = named::<SecureBootMode>)]
    secure_boot: Option<SecureBootMode>,
    /// How many Secure Boot V2 keys the ROM is to trust, 1 to 3.
    #[arg(long, value_name = "N")]
    digests: Option<u8>,
    /// How images are signed: rsa3072, ecdsa256 or ecdsa384.
    #[arg(long, value_parser = named::<SigningScheme>)]
    scheme: Option<SigningScheme>,
    /// off, development or release.
    #[arg(long, value_parser = named::<FlashEncryptionMode>)]
    flash_encryption: Option<FlashEncryptionMode>,
    /// The flash key: 128 (XTS-AES-128) or 256 (XTS-AES-256, two blocks).
    #[arg(long, value_name = "BITS")]
    key_size: Option<u16>,
    /// Where the NVS keys come from: off, flash (a protected partition) or hmac (a key in eFuse).
    #[arg(long, value_parser = named::<NvsMode>)]
    nvs: Option<NvsMode>,
    /// Keys for the Digital Signature peripheral.
    #[arg(long, value_name = "N")]
    ds: Option<u8>,
    /// Leave those keys readable, as Espressif's tools do on a developer's board; for the development profile only.
    #[arg(long, requires = "ds")]
    ds_readable: bool,
    /// Keys for the ECDSA peripheral: p192, p256, p384.
    #[arg(long, value_name = "CURVE", value_delimiter = ',', value_parser = named::<Curve>)]
    ecdsa: Option<Vec<Curve>>,
    /// open, disabled, or soft (an HMAC key opens it again).
    #[arg(long, value_parser = named::<JtagMode>)]
    jtag: Option<JtagMode>,
    /// The serial loader: open, secure or disabled.
    #[arg(long, value_parser = named::<DownloadMode>)]
    download: Option<DownloadMode>,
    /// The lowest secure_version that boots: that many bits of SECURE_VERSION.
    #[arg(long, value_name = "VERSION")]
    anti_rollback: Option<u8>,
    /// Let the ROM revoke a key as soon as a signature by it fails.
    #[arg(long)]
    aggressive_revoke: bool,
    /// Print the plan as commands of another tool.
    #[arg(long = "as", value_enum, value_name = "TOOL", conflicts_with = "json")]
    print_as: Option<Tool>,
    /// Write the plan: as JSON, for `cotter efuse lint --plan`, or as --as says.
    #[arg(short, long, value_name = "FILE")]
    output: Option<File>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    /// A plan file of `cotter efuse apply --plan`; keys in files NAME.bin beside it, ECDSA keys in NAME.pem.
    Apply,
    /// One command of espefuse for each stage; keys in files as for apply.
    Espefuse,
}

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let file = match &args.policy {
        Some(file) => {
            let text = String::from_utf8(file.read()?).with_context(|| format!("{file} is no text"))?;
            toml::from_str(&text).with_context(|| format!("policy {file}"))?
        }
        None => Wishes::default(),
    };
    let wishes = args.wishes().or(file);
    let image = args.image(&wishes)?;
    let policy = EfusePolicy::of_map(image.map(), &wishes)
        .map_err(anyhow::Error::new)
        .context(Help("leave the feature out, for example with --secure-boot off"))?;
    let plan = build(&policy, &image)?;
    let order = order_findings(&plan, &image);
    let written = match args.print_as {
        None => serde_json::to_string_pretty(&plan)?,
        Some(Tool::Apply) => command_file(&plan, key_file).trim_end().to_owned(),
        Some(Tool::Espefuse) => espefuse(&plan),
    };
    match (&args.output, args.print_as) {
        (Some(File::Standard), _) | (None, Some(_)) => output::value(&Text(&written), Format::Text)?,
        (output, _) => {
            if let Some(output) = output {
                output.write(format!("{written}\n").as_bytes(), Visibility::Public)?;
            }
            output::value(&Shown { plan: &plan, order: &order }, format)?;
        }
    }
    Ok(order.is_empty())
}

impl Args {
    fn wishes(&self) -> Wishes {
        Wishes {
            chip: self.source.chip.map(|chip| chip.name().to_owned()),
            profile: self.profile,
            secure_boot: self.secure_boot,
            digests: self.digests,
            scheme: self.scheme,
            flash_encryption: self.flash_encryption,
            key_size: self.key_size,
            nvs: self.nvs,
            ds: self.ds,
            ds_readable: self.ds_readable.then_some(true),
            ecdsa: self.ecdsa.clone(),
            jtag: self.jtag,
            download: self.download,
            anti_rollback: self.anti_rollback,
            aggressive_revoke: self.aggressive_revoke.then_some(true),
        }
    }

    /// The chip to start from.
    fn image(&self, wishes: &Wishes) -> anyhow::Result<EfuseImage> {
        let chip = wishes.chip.as_deref().map(super::chip).transpose()?;
        match &self.efuse {
            Some(file) => {
                let options = Options { chip, form: self.source.form };
                Ok(options.read(file)?.image)
            }
            None => {
                let chip: Chip = chip
                    .ok_or_else(|| anyhow::anyhow!("which chip the plan is for is not said"))
                    .context(Help("say --chip, or chip = \"...\" in the policy"))?;
                Ok(EfuseImage::blank(chip))
            }
        }
    }
}

/// A value by the name that policies use.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    plan: &'a EfusePlan,
    #[serde(skip)]
    order: &'a [OrderFinding],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let count = plan.burns().count();
        let profile = match plan.policy.profile {
            ProductProfile::Development => "development",
            ProductProfile::Release => "release",
        };
        writeln!(f, "{} for {profile}: {count} burns", plan.chip)?;
        if !plan.keys.is_empty() {
            writeln!(f, "\nneeded when it is burned")?;
        }
        for key in &plan.keys {
            let kind = if key.secret { "secret, another one for each device" } else { "public" };
            writeln!(f, "  {:<12} {} bytes, {kind}", key.name, key.bytes)?;
        }
        for (index, stage) in plan.stages.iter().enumerate() {
            writeln!(f, "\n{} {}", index + 1, stage.stage.name())?;
            for instruction in &stage.instructions {
                writeln!(f, "  {instruction}")?;
            }
            for burn in &stage.burns {
                writeln!(f, "  {:<28} {:<30} {}", burn.name(), value(burn), burn.meaning())?;
                writeln!(f, "  {:<28} for ever: {}", "", burn.irreversible())?;
                if let Burn::Field { shares, .. } = burn
                    && !shares.is_empty()
                {
                    writeln!(f, "  {:<28} shares its write protection with {}", "", shares.join(", "))?;
                }
            }
        }
        list(f, "burned already", &plan.already)?;
        list(f, "stays open", &plan.open)?;
        let found: Vec<String> = self.order.iter().map(ToString::to_string).collect();
        list(f, "do not burn this", &found)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    write!(f, "\n{title}")?;
    for line in lines {
        write!(f, "\n  {line}")?;
    }
    writeln!(f)
}

fn value(burn: &Burn) -> String {
    match burn {
        Burn::Key { purpose, key, half: Some(half), .. } => format!("{purpose} = {key}, half {half}"),
        Burn::Key { purpose, key, .. } => format!("{purpose} = {key}"),
        Burn::Field { value, .. } => format!("= {value:#x}"),
        Burn::ReadProtect { .. } => "read-protected".to_owned(),
        Burn::WriteProtect { bit, .. } => format!("write-protected (WR_DIS bit {bit})"),
    }
}

/// Something that is printed as it is.
#[derive(Serialize)]
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn espefuse(plan: &EfusePlan) -> String {
    let mut lines = Vec::new();
    let is_split = |burn: &Burn| matches!(burn, Burn::Key { key, half: Some(1), .. } if key == "flash");
    if plan.burns().any(|(_, burn)| is_split(burn)) {
        lines.push("split -b 32 flash.bin flash.bin.".to_owned());
    }
    lines.extend(commands(plan, "--port PORT ", key_file));
    lines.join("\n")
}

/// Where a key is expected: raw bytes, but ECDSA keys as PEM.
fn key_file(name: &str) -> String {
    if name.starts_with("ecdsa") { format!("{name}.pem") } else { format!("{name}.bin") }
}
