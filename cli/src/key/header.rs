//! `cotter key export-header`: the C header with the public key that firmware verifies by.

use super::{Held, KeySource};
use crate::file::File;
use crate::output;
use anyhow::Context;
use cotter_factory::output::Visibility;
use cotter_factory::public_key::{KeyKind, PublicKey};
use std::fmt::Write;
use zeroize::Zeroizing;

/// Write `keys.h`: the public key as a C string, `RSA_PUBLIC_KEY` (`ECDSA_PUBLIC_KEY` for ECDSA).
///
/// A symmetric key is refused: whoever reads one device's flash, or the repository, then has the key of every device.
///
/// Example: cotter key export-header firmware.pem -o keys.h
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeySource,
    /// Also put this 32-byte HMAC key in, in the clear, the same for all devices.
    #[arg(long, value_name = "FILE")]
    expose_symmetric_key: Option<File>,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: File,
}

pub(super) fn run(args: &Args) -> anyhow::Result<bool> {
    let held = args.key.read()?;
    if matches!(held, Held::Raw(_)) {
        let file = args.key.file();
        return Err(anyhow::anyhow!("{file} is no PEM key, and a symmetric key does not belong in a header")).context(
            output::Help(
                "it would be the same in every device and in the repository; give each device its own in NVS or eFuse, \
                 or insist with --expose-symmetric-key",
            ),
        );
    }
    let (key, _) = args.key.public(&held)?;
    let secret = args.expose_symmetric_key.as_ref().map(symmetric).transpose()?;
    let header = Zeroizing::new(header(&key, secret.as_ref().map(|key| key.as_slice()))?);
    let visibility = if secret.is_some() { Visibility::Secret } else { Visibility::Public };
    args.output.write(header.as_bytes(), visibility)?;
    Ok(true)
}

fn symmetric(file: &File) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let key = Zeroizing::new(file.read()?);
    anyhow::ensure!(key.len() == 32, "{file}: an HMAC key is 32 bytes, this file has {}", key.len());
    Ok(key)
}

fn header(key: &PublicKey, secret: Option<&[u8]>) -> anyhow::Result<String> {
    let kind = key.kind();
    let name = if matches!(kind, KeyKind::Rsa(_)) { "RSA_PUBLIC_KEY" } else { "ECDSA_PUBLIC_KEY" };
    let pem = key.to_pem()?;
    let lines: Vec<String> = pem.lines().map(|line| format!("\"{line}\\n\"")).collect();
    let mut text = String::with_capacity(4096);
    writeln!(text, "// keys.h\n#ifndef KEYS_H\n#define KEYS_H\n")?;
    writeln!(text, "// {kind} Public Key (for firmware verification)")?;
    write!(text, "static const char* const {name} =\n{};\n", lines.join("\n"))?;
    if let Some(secret) = secret {
        writeln!(
            text,
            "\n#include <stdint.h>\n// HMAC-SHA256 Key. SECRET: whoever has this file or one device's flash can forge."
        )?;
        write!(text, "static const uint8_t HMAC_KEY[32] = {{")?;
        for (index, byte) in secret.iter().enumerate() {
            write!(text, "{}0x{byte:02x},", if index.is_multiple_of(8) { "\n    " } else { " " })?;
        }
        writeln!(text, "\n}};")?;
    }
    writeln!(text, "\n#endif")?;
    Ok(text)
}
