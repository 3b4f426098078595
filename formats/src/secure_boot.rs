//! What the silicon requires of an image before it boots it.
//!
//! | file | noun |
//! |---|---|
//! | `v2` | signature blocks appended to an image (all chips since the ESP32 revision 3) |

pub mod v2;
