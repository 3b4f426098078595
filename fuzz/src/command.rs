//! Commands to a device, their content, and results.

use cotter_formats::secret::Secret;
use cotter_wire::command::{
    Address, Command, CommandCounter, CommandName, MAX_COMMAND, MAX_CONTENT, MAX_RESULT, SealedCommand,
    UnverifiedResult, seal,
};
use cotter_wire::ids::{KeyEpoch, UnixTime};
use cotter_wire::keys::{DeviceKeys, RootKey};

/// Content has one encoding; a sealed command opens exactly if it was sealed for this device; a result has one spelling.
pub fn command(data: &[u8]) {
    let (device, epoch) = ("device-1".parse().expect("a legal id"), KeyEpoch(1));
    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device, epoch);
    let to = Address { device: &device, epoch, counter: CommandCounter(7) };
    if let Ok(command) = Command::decode(data) {
        let mut out = [0; MAX_CONTENT];
        assert_eq!(command.encode(&mut out), Ok(data), "a command changed in a round trip");
        let mut out = [0; MAX_COMMAND];
        let sealed = seal(&keys.command, &to, [7; 12], UnixTime(9), &command, &mut out).expect("it fits");
        let opened = SealedCommand::parse(sealed).and_then(|sealed| sealed.open(&keys.command, &device));
        assert_eq!(opened.map(|opened| opened.command), Ok(command));
    }
    if let Ok(opened) = SealedCommand::parse(data).and_then(|sealed| sealed.open(&keys.command, &device)) {
        // The seed is the one command that was ever sealed with this key.
        assert_eq!(opened.counter, CommandCounter(7), "a forged command was opened");
    }
    if let Ok(result) = UnverifiedResult::parse(data).and_then(|result| result.verify(&keys.command_result, &to)) {
        let mut out = [0; MAX_RESULT];
        assert_eq!(result.write(&keys.command_result, &to, &mut out), Ok(data), "a second spelling was accepted");
    }
    if let Ok(name) = str::from_utf8(data).map_err(drop).and_then(|text| text.parse::<CommandName>().map_err(drop)) {
        assert_eq!(name.as_str().as_bytes(), data);
    }
}
