//! The driver of a secure element on the simulated part: every command, noise on the wires, a watchdog that barks,
//! power cuts at every transaction, hostile answers, and the bytes of a real part. All of it blocking and asynchronous.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bench;
mod commands;
mod hostile;
mod noise;
mod paths;
mod power;
mod secrets;
mod wire;
