//! What the silicon requires of an image before it boots it.
//!
//! | file | noun |
//! |---|---|
//! | `v1` | the ESP32's first scheme: a keyed digest before the bootloader, ECDSA behind applications |
//! | `v2` | signature blocks appended to an image (all chips since the ESP32 revision 3) |

pub mod v1;
pub mod v2;
