//! The AT link: an ESP-AT module on your desk, a host that talks to one, and what may lie between the two.
//!
//! | file | noun |
//! |---|---|
//! | `line` | what lies between the AT text and the wire |
//! | `host` | the host's side: the command port through a line, the log port beside it |
//! | `port` | the host's end of a serial line |
//! | `script` | what a host says and what it wants to hear |
//! | `device` | a module on its two ports, behind a line |
//! | `module` | the module: commands, answers, connections |
//! | `grammar` | the text of a command |
//! | `arguments` | its parameters, as a command wants them |
//! | `refusal` | why it is answered with ERROR |
//! | `escape` | `+++` between two silences |
//! | `flash` | what the module keeps without power |
//! | `clock` | its clock |
//! | `dial` | connecting, to where it may go |
//! | `connection` | one connection: TCP, UDP or TLS |
//! | `tls` | with what TLS is made |
//! | `mqtt` | an MQTT client over a connection |

mod arguments;
mod clock;
mod connection;
pub mod device;
mod dial;
pub mod escape;
pub mod flash;
pub mod grammar;
pub mod host;
pub mod line;
pub mod module;
mod mqtt;
pub mod port;
pub mod refusal;
pub mod script;
mod sntp;
mod tls;
mod web_socket;

pub use dial::{Network, Reach, TIME_PORT};
