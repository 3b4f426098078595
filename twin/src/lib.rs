//! A device on your desk: the virtual chip, the device code that ships in flash, and a real network.
//!
//! | file | noun |
//! |---|---|
//! | `net` | HTTPS to one server, trusting one CA |

pub mod net;
