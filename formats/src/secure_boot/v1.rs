//! Secure Boot V1: only the ESP32 has it. The ROM checks the second stage by a digest under a key that software cannot
//! read; the second stage checks the partition table and applications by an ECDSA P-256 signature, with a public key
//! that is compiled into it.
//!
//! | file | noun |
//! |---|---|
//! | `bootloader` | the digest before the bootloader, and the file that is flashed at 0 |
//! | `signature` | the 68 bytes behind a partition table or an application |
//!
//! Source: espsecure 5.6.0 as observed, ESP-IDF 6.2-dev `docs/en/security/secure-boot-v1.rst`.

mod bootloader;
mod signature;

#[cfg(feature = "alloc")]
pub use bootloader::add_digest;
pub use bootloader::{BOOTLOADER_AT, BootloaderError, BootloaderKey, DIGEST_LEN, DigestedBootloader, IV_LEN};
#[cfg(feature = "ecdsa")]
pub use signature::VerifyingKey;
pub use signature::{SIGNATURE_LEN, Signature, SignatureError, SignedFile, signature_at};
