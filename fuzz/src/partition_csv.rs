//! The partition table as CSV.

use cotter_formats::addr::FlashAddr;
use cotter_formats::partition::DEFAULT_OFFSET;
use cotter_formats::partition::csv::{CsvOptions, parse, write};
use cotter_formats::partition::finding::{Finding, Rules, SecureBoot, findings};
use cotter_formats::partition::rows::Rows;

/// What is accepted survives CSV and binary; every error points into the text; what no rule forbids can be built.
pub fn partition_csv(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let plain = CsvOptions { table: DEFAULT_OFFSET, bootloader: Some(FlashAddr(0)), recovery: None, variables: None };
    let _ = parse(text, &CsvOptions { variables: Some(&|name| Some(name.to_owned())), ..plain });
    let partitions = match parse(text, &plain) {
        Ok(partitions) => partitions,
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            for error in errors {
                assert!((1..=data.len() + 1).contains(&error.line) && (1..=data.len() + 1).contains(&error.column));
                assert!(!error.to_string().contains(char::is_control), "a control character reached the terminal");
            }
            return;
        }
    };
    let csv = write(&partitions).expect("what was read can be written");
    assert_eq!(parse(&csv, &plain).as_ref(), Ok(&partitions), "a table changed in a round trip through CSV");
    let rules = Rules { table: DEFAULT_OFFSET, flash_size: None, secure_boot: SecureBoot::None, checksum: true };
    let found = findings(&partitions, &rules);
    match Rows::write(&partitions, true) {
        Ok(binary) => assert_eq!(Rows::read(&binary).partitions, partitions, "a table changed in a round trip"),
        Err(_) => assert!(found.iter().any(Finding::forbids)),
    }
}
