//! The parts of `cargo xtask bench ingest`, `bench fota` and `bench mqtt` that know the server's and the device's code: a crowd of
//! enrolled devices, a load generator, and the reference that ours is compared with.
//!
//! | file | noun |
//! |---|---|
//! | `crowd` | a server's directory with so many devices, whose keys follow from their numbers |
//! | `load` | uploads over so many connections, each waiting for its answer |
//! | `download` | so many devices, each fetching a release in chunks |
//! | `peer` | a TLS client that costs as little as possible |
//! | `mqtt` | clients of the bridge: messages, and connections that wait |
//! | `fixed` | the floor: TLS and an answer that is made before |
//! | `reference` | the same work in the obvious shape: one transaction for each upload |
//! | `meter` | what a process has used, from `/proc` |

#![allow(clippy::print_stdout, reason = "one line of JSON is all that a run says")]

mod crowd;
mod download;
mod fixed;
mod load;
mod meter;
mod mqtt;
mod peer;
mod reference;

use clap::Parser;

#[derive(Parser)]
enum Command {
    /// Make a directory for `cotter-server serve` with so many devices
    Crowd(crowd::Arguments),
    /// Upload packets of a crowd and print what came of it
    Load(load::Arguments),
    /// Download the release of a crowd and print what came of it
    Download(download::Arguments),
    /// Connect over MQTT, publish, and print what came of it
    Mqtt(mqtt::Arguments),
    /// Answer everything with the same refusal
    Fixed(fixed::Arguments),
    /// Serve uploads as the reference does
    Reference(reference::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Crowd(arguments) => crowd::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Download(arguments) => download::run(&arguments),
        Command::Mqtt(arguments) => mqtt::run(&arguments),
        Command::Fixed(arguments) => fixed::run(&arguments),
        Command::Reference(arguments) => reference::run(&arguments),
    }
}
