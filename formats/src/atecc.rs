//! The CryptoAuthentication secure elements ATECC608A and ATECC608B: packets on the bus and the layout of their memory.
//!
//! | file | noun |
//! |---|---|
//! | `packet` | commands, answers, their CRC, status codes |
//! | `config` | the 128 bytes of the configuration zone |
//! | `slot` | slots of the data zone and what is allowed with them |
//! | `counter` | the monotonic counters as they lie in the configuration zone |
//! | `timing` | how long commands take |
//! | `certificate` | certificates compressed to 72 bytes |

pub mod certificate;
pub mod config;
pub mod counter;
pub mod packet;
pub mod slot;
pub mod timing;

pub use config::{CONFIG_LEN, ConfigZone};
pub use packet::{Command, Opcode, PacketError, Status};
pub use slot::{KeyConfig, KeyType, Slot, SlotConfig};

/// Bytes of the OTP zone.
pub const OTP_LEN: usize = 64;

/// Bytes of one access to a zone; the other size is a word of four.
pub const BLOCK_LEN: usize = 32;
