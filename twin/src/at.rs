//! The AT link: an ESP-AT module on your desk, a host that talks to one, and what may lie between the two.
//!
//! | file | noun |
//! |---|---|
//! | `line` | what lies between the AT text and the wire |
//! | `host` | the host's side: the command port through a line, the log port beside it |
//! | `port` | the host's end of a serial line |
//! | `script` | what a host says and what it wants to hear |

pub mod host;
pub mod line;
pub mod port;
pub mod script;
