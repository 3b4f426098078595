//! NVS tables in CSV: one table, and a template with the values of many devices.

use cotter_factory::nvs::table::Habits;
use cotter_factory::nvs::{Batch, Table};
use cotter_formats::addr::FlashLen;
use cotter_formats::nvs::csv::{Records, write_record};
use cotter_formats::nvs::page::Version;
use cotter_formats::nvs::read_partition;
use std::path::Path;

/// Room for what fits a fuzzer's input.
const SIZE: FlashLen = FlashLen(0x8000);

/// Records survive being written; a table that is accepted makes a partition without a fault. A NUL splits the input into
/// a template and the values of devices. Rows that would read a file are left out.
pub fn nvs_csv(data: &[u8]) {
    let files = data.windows(4).any(|word| word.eq_ignore_ascii_case(b"file"));
    match data.iter().position(|&byte| byte == 0) {
        None => {
            records(data);
            if !files {
                table(data);
            }
        }
        Some(at) => batch(&data[..at], &data[at + 1..], files),
    }
}

fn records(data: &[u8]) {
    let Ok(records) = Records::new(data) else { return };
    for record in records.map_while(Result::ok) {
        let mut line = String::new();
        write_record(&mut line, record.fields.iter().map(|field| &**field));
        // At the start of a file a # begins a comment and a byte order mark is taken off; a lone empty field is no record.
        if line.starts_with(['#', '\u{feff}']) || line.trim_end().is_empty() {
            continue;
        }
        let again = Records::new(line.as_bytes()).expect("it is UTF-8").next();
        let again = again.expect("a record was written").expect("our own record is sound");
        assert_eq!(again.fields, record.fields, "a record changed in a round trip");
    }
}

fn table(data: &[u8]) {
    for habits in [Habits::default(), Habits { generator_quirks: true, wifi_extras: true }] {
        for version in [Version::V1, Version::V2] {
            let mut table = Table::new(SIZE, version, habits).expect("a good size");
            if table.add_csv(data, Path::new("/nonexistent")).is_ok() {
                let values = table.values();
                sound(&table.into_image().finish(), values);
            }
        }
    }
}

fn batch(template: &[u8], values: &[u8], files: bool) {
    let Ok(batch) = Batch::parse(template, values, None) else { return };
    for device in batch.devices().iter().take(4) {
        assert!(!device.id.is_empty() && !device.id.starts_with('.') && !device.id.contains('/'), "{:?}", device.id);
        let _ = batch.csv(device, Path::new("/nonexistent"));
        if !files
            && let Ok(table) = batch.table(device, (SIZE, Version::V2, Habits::default()), Path::new("/nonexistent"))
        {
            let values = table.values();
            sound(&table.into_image().finish(), values);
        }
    }
}

/// Later rows may replace earlier ones, so there may be fewer values than rows, or a fault that says just that.
fn sound(partition: &[u8], rows: usize) {
    if let Ok(items) = read_partition(partition, None) {
        assert!(items.len() <= rows, "{} values of {rows} rows", items.len());
    }
}
