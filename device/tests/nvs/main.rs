//! The live NVS store on virtual flash: values, power cuts at every operation, a model beside it, hostile images, and
//! other people's readers and writers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on has failed")]

mod bench;
mod hostile;
mod model;
mod nonces;
mod peers;
mod power;
mod values;
