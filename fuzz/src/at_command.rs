//! What a host sends to an AT module, as one line and as all that it says.

use cotter_twin::at::flash::Flash;
use cotter_twin::at::grammar::{Command, LINE_MAX};
use cotter_twin::at::module::{Module, Surroundings};
use cotter_twin::at::{Network, Reach, TIME_PORT};
use std::time::Instant;

/// A command that reads can be written and read again; a module survives whatever it hears, and reaches no network.
pub fn at_command(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(command) = Command::parse(line) {
            let again = command.to_line();
            // Escapes that need not be there are gone, and a number may have become longer in decimal.
            if again.len() <= LINE_MAX {
                assert_eq!(Command::parse(&again).as_ref(), Ok(&command), "a command changed in a round trip");
            }
        }
    }
    // Time stands still, so that it never joins an access point: without an address there are no sockets.
    let now = Instant::now();
    let mut module = Module::new(surroundings(), Flash::new(Vec::new()), now);
    module.ready(now);
    for piece in data.chunks(97) {
        module.receive(piece, now);
        module.tick(now);
        if module.has_data_mode() {
            module.escape(now);
        }
        let _answers = (module.take_output(), module.take_log(), module.take_events());
        if module.wants_restart() {
            module = Module::new(surroundings(), module.into_flash(), now);
        }
    }
}

fn surroundings() -> Surroundings {
    let network = Network { reach: Reach::Loopback, hosts: Vec::new(), time_port: TIME_PORT };
    Surroundings { network, access_points: Vec::new(), mac: [2; 6] }
}
