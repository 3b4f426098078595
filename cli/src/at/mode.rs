//! What lies between the AT text and the wire, `--mode`: the one place where a mode and its keys become a line.

use clap::ValueEnum;
use cotter_twin::at::line::{Line, Plain};

/// The mode, and the keys that it takes.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// What protects the line.
    #[arg(long, value_enum, default_value_t = Mode::Plain)]
    pub(crate) mode: Mode,
}

/// How the line is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Not at all
    Plain,
}

/// Which end of the line this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Host,
    Module,
}

/// Makes the line of one power-up.
pub(crate) type Maker = Box<dyn FnMut() -> Box<dyn Line> + Send>;

impl Choice {
    /// Reads the keys, refuses what cannot be used, and says what a weak mode lacks.
    pub(crate) fn maker(&self, end: End) -> anyhow::Result<Maker> {
        match (self.mode, end) {
            (Mode::Plain, _) => Ok(Box::new(|| Box::new(Plain))),
        }
    }
}
