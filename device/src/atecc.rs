//! The driver of a CryptoAuthentication secure element on I2C: ATECC508A, ATECC608A, ATECC608B.
//!
//! | file | noun |
//! |---|---|
//! | `blocking`, `asynchronous` | the part on a bus of embedded-hal, of embedded-hal-async |
//! | `exchange` | wake, send, wait, read, check, repeat: sans-IO, the same for both |
//! | `procedure` | a command, or several of them, and what they come to |
//! | `command` | the commands, a type each |
//! | `session` | secrets that go over the bus encrypted |
//! | `hash` | what the part hashes, computed by the host |
//! | `identify` | which part it is |
//! | `slot_signer` | a private key in a slot as the device's signer |
//! | `packet` | a command with its word address |
//! | `timing` | how long everything takes, as data |
//! | `refusal` | why something failed |
//!
//! The part is woken before each command and idle after it, so each command has a whole watchdog period for itself, and
//! the buffers that commands share (`TempKey`, message digest buffer, SHA context) live on: only sleep forgets them.
//! Source: DS20005927A (complete data sheet of the ATECC508A) chapters 6 and 9; what the ATECC608 added: cryptoauthlib
//! 20260505. `docs/element-driver.md` is the guide.

pub mod asynchronous;
pub mod blocking;
pub mod command;
pub mod exchange;
pub mod hash;
pub mod identify;
pub mod packet;
pub mod procedure;
pub mod refusal;
pub mod session;
pub mod slot_signer;
pub mod timing;

pub use exchange::{Exchange, Settings, WakePulse};
pub use identify::{Identify, Model, Part};
pub use procedure::{Procedure, Repeat, Request, Step};
pub use refusal::Error;
pub use slot_signer::SlotSigner;

#[cfg(doctest)]
#[doc = include_str!("../../docs/element-driver.md")]
struct Guide;
