//! `cotter at key`: the keys of one link, derived from what its module and its host know.

use super::mode::{Hex, KeyFile};
use crate::file::File;
use crate::output::{self, Format, Help};
use clap::ValueEnum;
use cotter_device::platform::Random;
use cotter_factory::output::Visibility;
use cotter_formats::secret::Secret;
use cotter_twin::at::line::compat::CompatKeys;
use cotter_twin::random::HostRandom;
use cotter_wire::link::compat::Cipher;
use cotter_wire::link::derivation::{Derivation, Ingredients, LinkSecret, Way};
use cotter_wire::link::noise::public_key;
use std::fmt;
use zeroize::Zeroizing;

/// Derive the key of a link from a secret and from what makes its module unlike others.
///
/// This is the F(x, y, z) of ESP-AT's example: HKDF-SHA256 over 32 secret bytes, with the chip's MAC address, its unique
/// id and own data, each key and IV under a name of its own. The same can be derived on the chip: its HMAC peripheral
/// knows the secret if --efuse-key holds what was burned into its key block (docs/link.md).
#[derive(clap::Args)]
#[command(after_help = "Example: cotter key generate hmac -o secret.bin
         cotter at key psk --secret secret.bin --mac 7c:df:a1:e0:00:42 -o link.key")]
pub(crate) struct Args {
    /// What the key is for.
    #[arg(value_enum)]
    kind: Kind,
    /// 32 secret bytes that only the two ends know.
    #[arg(long, value_name = "FILE", conflicts_with = "efuse_key")]
    secret: Option<File>,
    /// 32 bytes as burned into an eFuse key block of purpose HMAC_UP.
    #[arg(long, value_name = "FILE")]
    efuse_key: Option<File>,
    /// The chip's base MAC address.
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<Mac>,
    /// The chip's unique id, 32 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    unique_id: Option<Hex>,
    /// Data of your own, at most 255 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    own: String,
    /// compat: the keystream.
    #[arg(long, value_name = "CIPHER", value_parser = super::mode::cipher, default_value = "aes-128-ctr")]
    cipher: Cipher,
    /// compat: one key and IV for both directions, as in the example. Weaker: each direction gives away the other.
    #[arg(long)]
    both_ways: bool,
    /// Where to write it, mode 0600; `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists. The old key is lost.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// 32 bytes for the modes psk and noise, as hexadecimal digits
    Psk,
    /// Keys and IVs for the mode compat
    Compat,
    /// A fresh pair for one end of the mode noise-kk: the private key, and beside it FILE.pub for the other end
    X25519,
}

#[derive(Clone)]
struct Mac(Vec<u8>);

pub(crate) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    args.output.refuse_existing(args.force)?;
    if args.kind == Kind::X25519 {
        return pair(args, format);
    }
    let secret = match (&args.secret, &args.efuse_key) {
        (Some(file), _) => LinkSecret::new(secret(file)?),
        (None, Some(file)) => LinkSecret::of_hmac_key(&secret(file)?),
        (None, None) => {
            let help = Help("a link's key is derived from 32 secret bytes: make them with `cotter key generate hmac`");
            return Err(anyhow::anyhow!("neither --secret nor --efuse-key").context(help));
        }
    };
    let ingredients = Ingredients {
        mac: args.mac.as_ref().map(|mac| &mac.0[..]).unwrap_or_default(),
        unique_id: args.unique_id.as_ref().map(|id| &id.0[..]).unwrap_or_default(),
        own: args.own.as_bytes(),
    };
    if ingredients == Ingredients::default() {
        output::warning("without --mac, --unique-id or --own, every module with this secret has this key");
    }
    let derivation = Derivation::new(&secret, ingredients)?;
    let text = match args.kind {
        Kind::Psk => digits(derivation.psk().expose()),
        Kind::Compat | Kind::X25519 => {
            let (to_module, to_host) =
                if args.both_ways { (Way::Both, Way::Both) } else { (Way::ToModule, Way::ToHost) };
            let of = |way| derivation.compat(args.cipher, way);
            KeyFile::text(&CompatKeys { to_module: of(to_module), to_host: of(to_host) })
        }
    };
    args.output.write_new(text.as_bytes(), Visibility::Secret, args.force)?;
    if let File::Path(path) = &args.output {
        output::value(&Made { file: path.display().to_string(), kind: args.kind }, format)?;
    }
    Ok(true)
}

/// A static key of one end, and its public half in a file beside it.
fn pair(args: &Args, format: Format) -> anyhow::Result<bool> {
    let given = [args.secret.is_some(), args.efuse_key.is_some(), args.mac.is_some(), args.unique_id.is_some()];
    anyhow::ensure!(
        !given.contains(&true) && args.own.is_empty(),
        anyhow::anyhow!("an X25519 key is fresh, and derived from nothing")
            .context(Help("leave out --secret, --efuse-key, --mac, --unique-id and --own"))
    );
    let File::Path(path) = &args.output else {
        return Err(anyhow::anyhow!("a pair is two files").context(Help("name one with -o; the other is FILE.pub")));
    };
    let public = File::Path(path.with_added_extension("pub"));
    public.refuse_existing(args.force)?;
    let private = Secret::filled_by(|key| HostRandom::default().fill(key));
    args.output.write_new(digits(private.expose()).as_bytes(), Visibility::Secret, args.force)?;
    public.write_new(digits(&public_key(&private)).as_bytes(), Visibility::Public, args.force)?;
    output::value(&Made { file: path.display().to_string(), kind: args.kind }, format)?;
    Ok(true)
}

fn digits(key: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(80));
    key.iter().for_each(|byte| text.push_str(&Zeroizing::new(format!("{byte:02x}"))));
    text.push('\n');
    text
}

fn secret(file: &File) -> anyhow::Result<Secret<32>> {
    let bytes = Zeroizing::new(file.read()?);
    let help = Help("make one with `cotter key generate hmac`");
    anyhow::ensure!(bytes.len() == 32, anyhow::anyhow!("{file} has {} bytes, expected 32", bytes.len()).context(help));
    Ok(Secret::filled_by(|place| place.copy_from_slice(&bytes)))
}

fn mac(text: &str) -> Result<Mac, String> {
    crate::mac::parse(text).map(Mac).ok_or_else(|| "expected one like 7c:df:a1:e0:00:42".to_owned())
}

#[derive(serde::Serialize)]
struct Made {
    file: String,
    kind: Kind,
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Psk => "psk",
            Self::Compat => "compat",
            Self::X25519 => "x25519",
        })
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Psk => "the key of a link",
            Kind::Compat => "keys and IVs of a link in mode compat",
            Kind::X25519 => "the static key of one end in mode noise-kk",
        };
        write!(f, "{}: {kind}, readable by its owner only", self.file)?;
        if self.kind == Kind::X25519 {
            write!(f, "\n{}.pub: its public key, for the other end", self.file)?;
        }
        Ok(())
    }
}
