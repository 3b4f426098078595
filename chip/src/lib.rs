//! The virtual chip: eFuses, NOR flash, transparent decryption, boot ROM and second stage, in one process.
//!
//! | file | noun |
//! |---|---|
//! | `atecc` | the secure element beside the chip, on its bus |
//! | `fault` | the power supply, which can be cut at any flash or eFuse operation |
//! | `flash` | the NOR flash part and the raw view of it |
//! | `efuse` | the eFuses: silicon, careful burns, files |
//! | `crypt` | the transparent view of an encrypted flash |
//! | `flash_image` | an image as it lies in flash |
//! | `trusted_keys` | the Secure Boot digests that count |
//! | `rom` | the boot ROM, line by line |
//! | `bootloader` | the second stage: slots, rollback, anti-rollback, what the first boot switches on |
//! | `second_stage` | what the second stage was compiled with |
//! | `application` | what ESP-IDF does in the application before `app_main` |
//! | `power_cuts` | a first boot that is cut at every operation: what comes back, what does not |
//! | `entropy` | random numbers |
//! | `board` | the whole thing: power it on, or write to it in download mode |
//! | `download_rules` | what download mode permits |
//! | `loader` | download mode on the serial line: ROM and stub, as tools speak with them |
//! | `uart` | what the chip prints, and who answers on its serial line |
//! | `peripheral` | HMAC, Digital Signature, ECDSA, the lock of JTAG |
//! | `report` | what a boot did, with stable refusal codes |

mod application;
pub mod atecc;
pub mod board;
mod bootloader;
pub mod crypt;
mod download_rules;
pub mod efuse;
pub mod entropy;
pub mod fault;
#[cfg(test)]
mod fixtures;
pub mod flash;
mod flash_image;
pub mod loader;
pub mod peripheral;
pub mod power_cuts;
pub mod report;
pub mod rom;
pub mod second_stage;
mod trusted_keys;
pub mod uart;
