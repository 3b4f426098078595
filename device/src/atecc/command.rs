//! The commands, a type each, whose fields are what may be chosen.
//!
//! | file | commands |
//! |---|---|
//! | `info` | `Info`, `SelfTest` |
//! | `nonce` | `Random`, `Nonce` |
//! | `key` | `GenKey`, `PrivWrite`, `DeriveKey`: whatever makes keys |
//! | `sign`, `verify` | `Sign`, `Verify` |
//! | `sha` | `SHA`: digests, HMAC, contexts, and messages of any length |
//! | `ecdh`, `kdf` | `ECDH`, `KDF` |
//! | `aes` | `AES` |
//! | `zone` | `Read`, `Write` |
//! | `lock` | `Lock` |
//! | `counter` | `Counter`, `UpdateExtra` |
//! | `mac` | `MAC`, `CheckMac` |
//! | `gen_dig` | `GenDig` |
//! | `secure_boot` | `SecureBoot` |
//!
//! Sources: DS20005927A chapter 9; for the ATECC608, cryptoauthlib 20260505 `calib_command.h`. `HMAC` and `Pause`,
//! which only the ATECC508A has, are left out: `SHA` does the first on all three parts, the second is for its single
//! wire.

pub mod aes;
pub mod counter;
pub mod ecdh;
pub mod gen_dig;
pub mod info;
pub mod kdf;
pub mod key;
pub mod lock;
pub mod mac;
pub mod nonce;
pub mod secure_boot;
pub mod sha;
pub mod sign;
pub mod verify;
pub mod zone;

/// Param2 for a key that is in `TempKey`.
const TEMP_KEY: u16 = 0xffff;

/// A buffer in which the part keeps a message that is to be signed or verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageBuffer {
    /// `TempKey`, the only one that the ATECC508A has. It is used up.
    TempKey,
    /// The message digest buffer of the ATECC608, which lasts.
    #[doc(alias = "MsgDigBuf")]
    Digest,
}

/// How `TempKey` must have come about, where a command says what it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempKeySource {
    /// With the part's random number generator in it.
    Random,
    /// From the host alone.
    Input,
}
