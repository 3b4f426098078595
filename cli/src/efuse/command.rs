//! The commands of espefuse that `cotter efuse apply` takes, from the command line or a plan file.

use crate::file::File;
use crate::key::private_key;
use anyhow::{Context, anyhow, bail, ensure};
use cotter_chip::efuse::session::{FlashVoltage, KeyOptions, KeyToBurn, Session};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::{KeyKind, PublicKey};
use cotter_formats::efuse::{EfuseMap, Family};
use cotter_formats::secure_boot::v2::Curve;
use std::path::Path;
use zeroize::Zeroizing;

/// The words that begin a command; `_` may stand for `-`, as in older versions of espefuse.
const COMMANDS: [&str; 9] = [
    "burn-key",
    "burn-key-digest",
    "burn-efuse",
    "burn-bit",
    "burn-block-data",
    "read-protect-efuse",
    "write-protect-efuse",
    "set-flash-voltage",
    "burn-custom-mac",
];

/// One command with its words.
pub(crate) struct Command {
    name: &'static str,
    /// Without the dashes.
    options: Vec<String>,
    words: Vec<String>,
}

/// Splits words into commands.
pub(crate) fn commands(words: impl IntoIterator<Item = String>) -> anyhow::Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::new();
    for word in words {
        let plain = word.replace('_', "-");
        if let Some(name) = COMMANDS.into_iter().find(|name| *name == plain) {
            commands.push(Command { name, options: Vec::new(), words: Vec::new() });
            continue;
        }
        let Some(command) = commands.last_mut() else { bail!("{word} is none of {}", COMMANDS.join(", ")) };
        match word.strip_prefix("--") {
            Some(option) => command.options.push(option.to_owned()),
            None => command.words.push(word),
        }
    }
    Ok(commands)
}

/// A plan file: the same words, in lines; `#` begins a comment, and a name with blanks stands in double quotes.
pub(crate) fn plan(text: &str) -> anyhow::Result<Vec<Command>> {
    let mut words = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (mut word, mut quoted, mut begun) = (String::new(), false, false);
        for character in line.chars() {
            match character {
                '"' => (quoted, begun) = (!quoted, true),
                '#' if !quoted => break,
                blank if blank.is_whitespace() && !quoted => {
                    if begun {
                        words.push(std::mem::take(&mut word));
                    }
                    begun = false;
                }
                other => {
                    word.push(other);
                    begun = true;
                }
            }
        }
        ensure!(!quoted, "plan: line {number} ends inside quotes");
        if begun {
            words.push(word);
        }
    }
    commands(words)
}

impl Command {
    /// Prepares it in a session. `base`: where the files of a plan are looked for.
    pub(crate) fn prepare(&self, session: &mut Session, map: &EfuseMap, base: &Path) -> anyhow::Result<()> {
        self.run(session, map, base).with_context(|| self.name.to_owned())
    }

    fn run(&self, session: &mut Session, map: &EfuseMap, base: &Path) -> anyhow::Result<()> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match self.name {
            "burn-key" => {
                let options = self.key_options()?;
                let mut keys = Vec::new();
                let arity = if map.family == Family::Esp32 { 2 } else { 3 };
                for key in in_groups(&words, arity)? {
                    keys.push(key_to_burn(key, base)?);
                }
                Ok(session.burn_keys(&keys, options)?)
            }
            "burn-key-digest" => {
                let options = self.key_options()?;
                if map.family != Family::Many {
                    let [file] = words[..] else { bail!("takes one key file on an {}", map.chip) };
                    return Ok(session.burn_digest(None, &digest(file, base)?, None, options)?);
                }
                for key in in_groups(&words, 3)? {
                    let [block, file, purpose] = key else { bail!("takes a block, a key file and a purpose") };
                    session.burn_digest(Some(block), &digest(file, base)?, Some(purpose), options)?;
                }
                Ok(())
            }
            "burn-efuse" => {
                let mut words = words.iter().peekable();
                ensure!(words.peek().is_some(), "takes names and values");
                while let Some(name) = words.next() {
                    let value = words.next_if(|word| map.field(word).is_none());
                    session.burn_efuse(name, value.copied())?;
                }
                if !self.has(&["force"])? {
                    session.check_compatible()?;
                }
                Ok(())
            }
            "burn-bit" => {
                self.has(&[])?;
                let [block, bits @ ..] = &words[..] else { bail!("takes a block and bit numbers") };
                let bits: Result<Vec<u16>, _> = bits.iter().map(|bit| bit.parse()).collect();
                Ok(session.burn_bits(block, &bits.map_err(|_| anyhow!("a bit number is no number"))?)?)
            }
            "burn-block-data" => {
                let mut words = words;
                let offset = match self.has(&["offset"])? {
                    true if words.is_empty() => bail!("--offset takes a number"),
                    true => words.remove(0).parse().map_err(|_| anyhow!("--offset takes a number"))?,
                    false => 0,
                };
                ensure!(offset == 0 || words.len() == 2, "--offset goes with one block");
                for pair in in_groups(&words, 2)? {
                    let [block, file] = pair else { bail!("takes blocks and files") };
                    let data = Zeroizing::new(File::Path(base.join(file)).read()?);
                    session.burn_block_data(block, &data, offset)?;
                }
                Ok(())
            }
            "read-protect-efuse" | "write-protect-efuse" => {
                self.has(&[])?;
                ensure!(!words.is_empty(), "takes names");
                for name in words {
                    if self.name == "read-protect-efuse" {
                        session.read_protect(name)?
                    } else {
                        session.write_protect(name)?
                    }
                }
                Ok(())
            }
            "set-flash-voltage" => {
                self.has(&[])?;
                let voltage = match words[..] {
                    ["1.8V"] => FlashVoltage::V1_8,
                    ["3.3V"] => FlashVoltage::V3_3,
                    ["OFF"] => FlashVoltage::Off,
                    _ => bail!("takes 1.8V, 3.3V or OFF"),
                };
                Ok(session.set_flash_voltage(voltage)?)
            }
            _ => {
                self.has(&[])?;
                let [mac] = words[..] else { bail!("takes one MAC") };
                Ok(session.burn_custom_mac(mac)?)
            }
        }
    }

    fn key_options(&self) -> anyhow::Result<KeyOptions> {
        let mut options = KeyOptions::default();
        for option in &self.options {
            match option.as_str() {
                "no-read-protect" => options.keep_readable = true,
                "no-write-protect" => options.keep_writable = true,
                "no-protect-key" => options = KeyOptions { keep_readable: true, keep_writable: true },
                other => bail!("has no option --{other}"),
            }
        }
        Ok(options)
    }

    /// True if the one option that it can have is there.
    fn has(&self, known: &[&str]) -> anyhow::Result<bool> {
        match self.options.iter().find(|option| !known.contains(&option.as_str())) {
            Some(unknown) => bail!("has no option --{unknown}"),
            None => Ok(!self.options.is_empty()),
        }
    }
}

fn in_groups<'w, 'a>(words: &'w [&'a str], arity: usize) -> anyhow::Result<std::slice::Chunks<'w, &'a str>> {
    let parts = ["a block", "a key file", "a purpose"];
    let takes = parts.get(..arity).unwrap_or(&parts).join(", ");
    ensure!(!words.is_empty() && words.len().is_multiple_of(arity), "takes {takes}, once or more often");
    Ok(words.chunks(arity))
}

fn key_to_burn(words: &[&str], base: &Path) -> anyhow::Result<KeyToBurn> {
    let [block, file, purpose @ ..] = words else { bail!("takes a block and a key file") };
    let purpose = purpose.first().map(|purpose| (*purpose).to_owned());
    let file = File::Path(base.join(file));
    let mut data = Zeroizing::new(file.read()?);
    if let Some(purpose) = purpose.as_deref().filter(|purpose| purpose.starts_with("ECDSA_KEY"))
        && !purpose.ends_with("_L")
        && !purpose.ends_with("_H")
    {
        let key = private_key(&data, &crate::key::Password::default(), &file)?;
        check_curve(&key, purpose).with_context(|| file.to_string())?;
        data = Zeroizing::new(key.scalar().context("no elliptic curve key")?.to_vec());
    }
    Ok(KeyToBurn { block: (*block).to_owned(), data, purpose })
}

/// espefuse burns a key of one curve under the purpose of another, and pads it.
fn check_curve(key: &PrivateKey, purpose: &str) -> anyhow::Result<()> {
    let KeyKind::Ecdsa(curve) = key.public().kind() else { bail!("{purpose} needs an elliptic curve key") };
    let fits = match purpose {
        "ECDSA_KEY" => curve != Curve::P384,
        "ECDSA_KEY_P192" => curve == Curve::P192,
        "ECDSA_KEY_P256" => curve == Curve::P256,
        _ => curve == Curve::P384,
    };
    ensure!(fits, "{purpose} needs another curve than that of this {} key", key.public().kind());
    Ok(())
}

/// The digest of a key: of a PEM file, private or public, or the 32 bytes themselves.
fn digest(file: &str, base: &Path) -> anyhow::Result<[u8; 32]> {
    let file = File::Path(base.join(file));
    let bytes = Zeroizing::new(file.read()?);
    if let Ok(digest) = <[u8; 32]>::try_from(&bytes[..]) {
        return Ok(digest);
    }
    let public = PublicKey::from_pem(&bytes).or_else(|_| {
        let private = private_key(&bytes, &crate::key::Password::default(), &file)?;
        anyhow::Ok(private.public().clone())
    })?;
    public.secure_boot_digest().with_context(|| file.to_string())
}
