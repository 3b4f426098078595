//! The virtual chip: eFuses, NOR flash, transparent decryption, boot ROM and second stage, in one process.
//!
//! | file | noun |
//! |---|---|
//! | `fault` | the power supply, which can be cut at any flash or eFuse operation |
//! | `efuse` | the eFuses: silicon, careful burns, files |
//! | `flash` | the NOR flash part and the raw view of it |

pub mod efuse;
pub mod fault;
pub mod flash;
