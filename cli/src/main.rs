//! `cotter`: device security from the factory line to the field.

mod at;
mod audit;
mod backup;
mod cert;
mod chip;
mod cloud;
mod debug;
mod demo;
mod ds;
mod efuse;
mod element;
mod factory;
mod file;
mod flash;
mod fleet;
mod image;
mod key;
mod line;
mod mac;
mod moment;
mod nvs;
mod otadata;
mod output;
mod partition;
mod prompt;
mod rehearse;
mod release;
mod remote;
mod rollout;
mod serve;
mod signals;

use clap::{Parser, Subcommand};
use output::Format;
use std::process::ExitCode;

/// Device security from the factory line to the field.
///
/// Signs, encrypts and rehearses what an ESP32-class chip boots, gives each device an identity, and runs the server
/// that the devices report to and update from.
#[derive(Parser)]
#[command(name = "cotter", version, arg_required_else_help = true)]
struct Cli {
    /// Print results as JSON on stdout, for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(subcommand)]
    At(at::Verb),
    Audit(audit::Args),
    Backup(backup::Args),
    Cert(cert::Args),
    #[command(subcommand)]
    Chip(chip::Verb),
    Cloud(cloud::Args),
    #[command(subcommand)]
    Debug(debug::Verb),
    Demo(demo::Args),
    Ds(ds::Args),
    Efuse(efuse::Args),
    #[command(subcommand)]
    Element(element::Verb),
    Factory(factory::Args),
    #[command(subcommand)]
    Flash(flash::Verb),
    Fleet(fleet::Args),
    Image(image::Args),
    Key(key::Args),
    #[command(subcommand)]
    Nvs(nvs::Verb),
    Otadata(otadata::Args),
    Partition(partition::Args),
    Rehearse(rehearse::Args),
    Release(release::Args),
    Rollout(rollout::Args),
    Serve(serve::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.json { Format::Json } else { Format::Text };
    let outcome = match cli.verb {
        Verb::At(verb) => at::run(&verb, format),
        Verb::Audit(args) => audit::run(&args, format),
        Verb::Backup(args) => backup::run(args, format),
        Verb::Cert(args) => cert::run(&args, format),
        Verb::Chip(verb) => chip::run(&verb, format),
        Verb::Cloud(args) => cloud::run(&args, format),
        Verb::Debug(verb) => debug::run(&verb, format),
        Verb::Demo(args) => demo::run(&args, format),
        Verb::Ds(args) => ds::run(&args, format),
        Verb::Efuse(args) => efuse::run(&args, format),
        Verb::Element(verb) => element::run(&verb, format),
        Verb::Factory(args) => factory::run(&args, format),
        Verb::Flash(verb) => flash::run(&verb, format),
        Verb::Fleet(args) => fleet::run(&args, format),
        Verb::Image(args) => image::run(&args, format),
        Verb::Key(args) => key::run(&args, format),
        Verb::Nvs(verb) => nvs::run(&verb, format),
        Verb::Otadata(args) => otadata::run(&args, format),
        Verb::Partition(args) => partition::run(&args, format),
        Verb::Rehearse(args) => rehearse::run(&args, format),
        Verb::Release(args) => release::run(&args, format),
        Verb::Rollout(args) => rollout::run(&args, format),
        Verb::Serve(args) => serve::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            output::error(&error);
            ExitCode::from(if error.is::<output::BadUsage>() { 2 } else { 1 })
        }
    }
}
