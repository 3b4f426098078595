//! A device on your desk: the virtual chip, the device code that ships in flash, and a real network.
//!
//! | file | noun |
//! |---|---|
//! | `at` | the AT link: a module, and what may lie between it and its host |
//! | `twin` | the whole device: power it on and let it live |
//! | `firmware` | the application while it runs |
//! | `keys` | what it does about its root key before that |
//! | `net` | HTTPS to one server, trusting one CA |
//! | `element_bus` | the master's end of that bus, and of a real one |
//! | `element_port` | a secure element's bus as a TCP port or a pseudo-terminal |
//! | `serial_port` | a chip's serial line as a TCP port or a pseudo-terminal |
//! | `peripherals` | the chip's DS and ECDSA peripherals for the device's signers |
//! | `random` | the host's CSPRNG as the device's |

pub mod at;
pub mod element_bus;
pub mod element_port;
pub mod firmware;
mod keys;
pub mod net;
pub mod peripherals;
pub mod random;
pub mod serial_port;
pub mod twin;
