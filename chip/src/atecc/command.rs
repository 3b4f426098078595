//! The commands, each as its section of the data sheet has it.
//!
//! Sources: DS20005927A chapter 9, the ATECC508A, whose commands the ATECC608 kept; what the ATECC608 added or changed:
//! cryptoauthlib 20260505, `calib_command.h` for parameters, `atca_host.c` for the messages that are hashed, its tests for
//! what parts answer. Where these are silent the choice is marked "not documented".

pub(super) mod aes;
pub(super) mod counter;
pub(super) mod derive_key;
pub(super) mod ecdh;
pub(super) mod gen_dig;
pub(super) mod gen_key;
pub(super) mod info;
pub(super) mod kdf;
pub(super) mod lock;
pub(super) mod mac;
pub(super) mod nonce;
pub(super) mod secure_boot;
pub(super) mod sha;
pub(super) mod sign;
pub(super) mod verify;
pub(super) mod zone;
