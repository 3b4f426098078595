//! The AT link: an ESP-AT module on your desk, and what may lie between it and its host.
//!
//! | file | noun |
//! |---|---|
//! | `line` | what lies between the AT text and the wire |

pub mod line;
