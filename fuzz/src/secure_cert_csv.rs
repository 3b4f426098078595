//! The CSV of esp_secure_cert entries.

use cotter_factory::secure_cert::table::read;
use std::path::Path;

/// Rows that would read a file are left out.
pub fn secure_cert_csv(data: &[u8]) {
    if data.windows(4).any(|word| word.eq_ignore_ascii_case(b"file")) {
        return;
    }
    match read(data, Path::new("/nonexistent")) {
        Ok(wanted) => {
            let rows = data.iter().filter(|&&byte| byte == b'\n').count();
            assert!(wanted.len() <= rows + 1, "{} entries of {rows} lines", wanted.len());
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}
